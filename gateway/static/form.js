// The form, where one says what is to be spoken, and how.

import { Cast } from "./cast.js";
import { Choices, RECORDING } from "./choices.js";
import { Editor } from "./editor.js";
import { hash, read } from "./link.js";

const NUMBERS = ["seed", "temperature", "speed"];
const EXAMPLES = {
  sentence: "The speech is streamed out of Triton.",
  dialogue:
    "Anna: Good morning, John. How are you today?\nJohn: Good morning, Anna. Today it will be sunny.\n" +
    "Anna: Where is the station?\nJohn: Turn left at the market.",
};

export class Form {
  // part: the elements of the page by name. colours: of the speakers.
  constructor(part, colours, recorder) {
    Object.assign(this, { part, recorder });
    this.element = part.request;
    this.defaults = this.values;
    this.cast = new Cast(part.cast, part.speakers, colours);
    this.choices = new Choices(part.choices, this.element);
    this.editor = new Editor(part.words, part.paint, colours, (names) => {
      part.count.textContent = this.editor.text.length;
      this.cast.show(names);
      this.#show();
    });
    this.#listen();
    if (location.hash.length > 1) this.#recall();
    else this.editor.text = EXAMPLES.dialogue;
  }

  // The fields as text.
  get values() {
    return Object.fromEntries(new FormData(this.element));
  }

  // The body of a request.
  get body() {
    const { buffer, voice, ...fields } = this.values;
    if (!this.cast.names.length) delete fields.dialogue;
    const given = Object.entries(fields).filter(([, value]) => value.trim() !== "");
    const typed = (name, value) => (NUMBERS.includes(name) ? Number(value) : value);
    const body = Object.fromEntries(given.map(([name, value]) => [name, typed(name, value)]));
    if (voice === RECORDING) Object.assign(body, this.recorder.fields);
    else if (voice) body.voice = voice;
    if (this.#isDialogue && Object.keys(this.cast.speakers).length) body.speakers = this.cast.speakers;
    return body;
  }

  // What a speech without names is labelled with.
  get label() {
    const { voice } = this.values;
    return voice === RECORDING ? "You" : voice || "Voice";
  }

  // Whether one's own voice is wanted that was not recorded yet.
  get lacksRecording() {
    return this.values.voice === RECORDING && !this.recorder.fields;
  }

  // names: of the server's voices; null where they are not known.
  offer(names) {
    if (names) this.cast.offer(names);
    this.choices.offer(names ?? []);
    this.#show();
  }

  // Puts the request into the address, all but a recording.
  remember() {
    const { voice, ...fields } = this.values;
    const kept = voice === RECORDING ? fields : { voice: voice ?? "", ...fields };
    history.replaceState(null, "", hash(kept, this.cast.speakers, this.defaults));
  }

  #recall() {
    const told = read(location.hash);
    if (!told) return;
    const { elements } = this.element;
    for (const [name, value] of Object.entries({ ...this.defaults, voice: "", ...told.fields })) {
      if ((name in this.defaults || name === "voice") && elements[name]) elements[name].value = value;
    }
    this.cast.speakers = told.speakers;
    this.#paint();
  }

  // Whether the text is a dialogue, as far as the page can tell: a single voice is then none that the server takes.
  get #isDialogue() {
    return this.cast.names.length > 0 && this.part.dialogue.value !== "off";
  }

  #paint() {
    this.editor.painted = this.part.dialogue.value !== "off";
    this.editor.update();
  }

  #show() {
    const { part } = this;
    const dialogue = this.#isDialogue;
    part["speed-value"].textContent = `${Number(part.speed.value)}×`;
    part.voices.disabled = dialogue;
    part["voice-hint"].hidden = !dialogue;
    part.choices.hidden = dialogue;
    part.speakers.hidden = !dialogue;
    part.recorder.hidden = dialogue || this.choices.chosen !== RECORDING;
  }

  #listen() {
    const { element, part, editor } = this;
    element.addEventListener("input", () => this.#show());
    element.addEventListener("change", () => {
      this.#show();
      if (editor.text) this.remember();
    });
    part.dialogue.addEventListener("change", () => this.#paint());
    part.dice.addEventListener("click", () => {
      part.seed.value = crypto.getRandomValues(new Uint32Array(1))[0];
      this.remember();
    });
    for (const button of document.querySelectorAll("[data-example]")) {
      button.addEventListener("click", () => {
        editor.text = EXAMPLES[button.dataset.example];
        this.remember();
      });
    }
    window.addEventListener("hashchange", () => this.#recall());
  }
}
