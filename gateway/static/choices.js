// The choice of a voice: one of the server's, or one's own.

import { read } from "./link.js";

export const RECORDING = "@recording"; // one's own voice; no name of a profile has an @

export class Choices {
  constructor(rows, form) {
    Object.assign(this, { rows, form });
  }

  // What is chosen, also while a dialogue hides it; undefined before there is a choice.
  get chosen() {
    return this.form.elements.voice?.value;
  }

  // names: of the server's voices.
  offer(names) {
    const wanted = this.chosen ?? read(location.hash)?.fields.voice ?? "";
    const all = [["", "The model’s own"], ...names.map((name) => [name, name]), [RECORDING, "Record your own"]];
    if (!all.some(([value]) => value === wanted)) all.push([wanted, wanted]); // a link of another server's
    this.rows.replaceChildren(...all.map(([value, text]) => this.#row(value, text, value === wanted)));
  }

  #row(value, text, checked) {
    const row = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "voice", value, checked });
    const name = document.createElement("span");
    name.textContent = text;
    row.append(input, name);
    return row;
  }
}
