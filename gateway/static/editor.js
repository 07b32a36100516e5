// The text, with the speakers' labels painted behind it.

import { labels } from "./speakers.js";

export class Editor {
  // colours: of the speakers. Calls changed(names of speakers) after every change of the text.
  constructor(words, paint, colours, changed) {
    Object.assign(this, { words, paint, colours, changed });
    this.painted = true; // whether labels are speakers
    words.addEventListener("input", () => this.update());
    words.addEventListener("scroll", () => (paint.scrollTop = words.scrollTop));
  }

  get text() {
    return this.words.value;
  }

  set text(value) {
    this.words.value = value;
    this.update();
  }

  update() {
    const found = labels(this.text);
    const names = [...new Set(found.map((label) => label.name))];
    this.colours.reset(names);
    const pieces = [];
    let at = 0;
    for (const { name, start, stop } of this.painted ? found : []) {
      const mark = document.createElement("mark");
      mark.textContent = this.text.slice(start, stop);
      mark.dataset.speaker = this.colours.of(name);
      pieces.push(this.text.slice(at, start), mark);
      at = stop;
    }
    // A last empty line has no height of its own.
    this.paint.replaceChildren(...pieces, `${this.text.slice(at)}\n`);
    this.paint.scrollTop = this.words.scrollTop;
    this.changed(names);
  }
}
