// The dialog that asks for an API key.

import { key } from "./speech.js";

export class KeyDialog {
  // part: the elements of the page by name. Calls changed() when a key was given.
  constructor(part, changed) {
    this.dialog = part["key-dialog"];
    this.reason = part["key-reason"];
    this.field = part["key-value"];
    part.key.addEventListener("click", () => this.ask("A key is set."));
    this.dialog.addEventListener("close", () => {
      if (this.dialog.returnValue !== "use") return;
      key.set(this.field.value.trim());
      changed();
    });
  }

  get open() {
    return this.dialog.open;
  }

  // reason: told where there is a key already.
  ask(reason) {
    const told = key.get() ? reason : "Servers may want a key.";
    this.reason.textContent = `${told} It is kept in this tab until it is closed, and sent to this server only.`;
    this.field.value = key.get();
    if (!this.open) this.dialog.showModal();
  }
}
