// The page: a form that makes requests, and a stage on which they are heard.

import { Cast } from "./cast.js";
import { Editor } from "./editor.js";
import { KeyDialog } from "./key_dialog.js";
import { hash, read } from "./link.js";
import { Recorder } from "./recorder.js";
import { Server } from "./server.js";
import { Colours } from "./speakers.js";
import { speak } from "./speech.js";
import { Stage } from "./stage.js";

const RECORDING = "@recording"; // the choice of one's own voice; no name of a profile has an @
const NUMBERS = ["seed", "temperature", "speed"];
const EXAMPLES = {
  sentence: "The speech is streamed out of Triton.",
  dialogue:
    "Anna: Good morning, John. How are you today?\nJohn: Good morning, Anna. Today it will be sunny.\n" +
    "Anna: Where is the station?\nJohn: Turn left at the market.",
};

const part = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const form = part.request;
const defaults = values();
const colours = new Colours();
const stage = new Stage(part, colours);
const cast = new Cast(part.cast, part.speakers, colours);
const editor = new Editor(part.words, part.paint, colours, (names) => {
  part.count.textContent = editor.text.length;
  cast.show(names);
  shown();
});
const recorder = new Recorder(part, (sentence) => stage.alarm(sentence));
const keyDialog = new KeyDialog(part, () => {
  stage.calm();
  server.load();
});
const server = new Server(part.server, keyDialog, (names) => {
  if (names) {
    cast.voices = names;
    cast.show(cast.names, true);
  }
  choices(names ?? []);
});
let running = null; // the AbortController of the request in progress

// The form's fields as text.
function values() {
  return Object.fromEntries(new FormData(part.request));
}

// Whether the text is a dialogue, as far as the page can tell: a single voice is then none that the server takes.
function isDialogue() {
  return cast.names.length > 0 && part.dialogue.value !== "off";
}

// The body of a request.
function request() {
  const { buffer, voice, ...fields } = values();
  if (!cast.names.length) delete fields.dialogue;
  const given = Object.entries(fields).filter(([, value]) => value.trim() !== "");
  const body = Object.fromEntries(given.map(([name, value]) => [name, NUMBERS.includes(name) ? Number(value) : value]));
  if (voice === RECORDING) Object.assign(body, recorder.fields);
  else if (voice) body.voice = voice;
  if (isDialogue() && Object.keys(cast.speakers).length) body.speakers = cast.speakers;
  return body;
}

async function run() {
  if (!form.reportValidity()) return;
  const { buffer, voice } = values();
  if (voice === RECORDING && !recorder.fields) {
    stage.alarm("Record your voice first, or choose another one.");
    part.record.focus();
    return;
  }
  running?.abort();
  const control = (running = new AbortController());
  const body = request();
  stage.begin(voice === RECORDING ? "You" : voice || "Voice");
  part.cancel.hidden = false;
  remember();
  const began = performance.now();
  const sent = () => (performance.now() - began) / 1000;
  const pieces = [];
  let told = "";
  try {
    const live = await stage.open(Number(buffer));
    if (control.signal.aborted) return;
    stage.transport.begin(live);
    for await (const event of speak(body, control.signal)) {
      if (event.samples) {
        if (!pieces.length) stage.hear(sent());
        pieces.push(event.samples);
        live?.push(event.samples);
        stage.push(event, sent());
      } else {
        told = stage.finish(event);
      }
    }
  } catch (error) {
    if (control.signal.aborted && running !== control) return; // another request has begun
    told = control.signal.aborted ? stage.cancel() : stage.fail(error);
    if (error.status === 401) keyDialog.ask(error.message);
  }
  if (running === control) end(pieces, told);
}

function end(pieces, told) {
  running = null;
  if (document.activeElement === part.cancel) part.speak.focus();
  part.cancel.hidden = true;
  stage.end(pieces, `speech-${values().seed}.wav`, told);
}

// --- voices

function choices(names) {
  const wanted = form.elements.voice?.value ?? read(location.hash)?.fields.voice ?? "";
  const all = [["", "The model’s own"], ...names.map((name) => [name, name]), [RECORDING, "Record your own"]];
  if (!all.some(([value]) => value === wanted)) all.push([wanted, wanted]); // a link of another server's
  part.choices.replaceChildren(...all.map(([value, text]) => choice(value, text, value === wanted)));
  shown();
}

function choice(value, text, checked) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "voice", value, checked });
  const name = document.createElement("span");
  name.textContent = text;
  label.append(input, name);
  return label;
}

// --- links

function remember() {
  const { voice, ...fields } = values();
  const kept = voice === RECORDING ? fields : { voice: voice ?? "", ...fields };
  history.replaceState(null, "", hash(kept, cast.speakers, defaults));
}

function recall() {
  const told = read(location.hash);
  if (!told) return;
  for (const [name, value] of Object.entries({ ...defaults, voice: "", ...told.fields })) {
    if ((name in defaults || name === "voice") && form.elements[name]) form.elements[name].value = value;
  }
  editor.painted = part.dialogue.value !== "off";
  cast.speakers = told.speakers;
  editor.update();
}

function shown() {
  part["speed-value"].textContent = `${Number(part.speed.value)}×`;
  part.voices.disabled = isDialogue();
  part["voice-hint"].hidden = !isDialogue();
  part.choices.hidden = isDialogue();
  part.speakers.hidden = !isDialogue();
  part.recorder.hidden = isDialogue() || form.elements.voice?.value !== RECORDING;
}

// --- what people do

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("input", shown);
part.dialogue.addEventListener("change", () => {
  editor.painted = part.dialogue.value !== "off";
  editor.update();
});
form.addEventListener("change", () => {
  shown();
  if (editor.text) remember();
});
part.cancel.addEventListener("click", () => running?.abort());
part.dice.addEventListener("click", () => {
  part.seed.value = crypto.getRandomValues(new Uint32Array(1))[0];
  remember();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  else if (event.key === "Escape" && !keyDialog.open) running?.abort();
});
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    editor.text = EXAMPLES[button.dataset.example];
    remember();
  });
}
part.copy.addEventListener("click", async () => {
  remember();
  const own = form.elements.voice?.value === RECORDING ? " Your recording is not in it." : "";
  try {
    await navigator.clipboard.writeText(location.href);
    stage.tell(`The link is copied.${own}`);
  } catch {
    stage.tell(`The link stands in the address bar.${own}`);
  }
});
window.addEventListener("hashchange", recall);

if (location.hash.length > 1) recall();
else editor.text = EXAMPLES.dialogue;
server.load();
