// The page: a form that makes requests, and a stage on which they are heard.

import { Cast } from "./cast.js";
import { Editor } from "./editor.js";
import { KeyDialog } from "./key_dialog.js";
import { hash, read } from "./link.js";
import { CAN_STREAM, Player } from "./player.js";
import { Recorder } from "./recorder.js";
import { Server } from "./server.js";
import { Colours } from "./speakers.js";
import { RATE, speak, wav } from "./speech.js";
import { clock, Timeline } from "./timeline.js";
import { Transport } from "./transport.js";
import { Waveform } from "./waveform.js";

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
const cast = new Cast(part.cast, part.speakers, colours);
const editor = new Editor(part.words, part.paint, colours, (names) => {
  part.count.textContent = editor.text.length;
  cast.show(names);
  shown();
});
const recorder = new Recorder(part, alarm);
const wave = new Waveform(part.wave, RATE);
const timeline = new Timeline(part.lanes, part.parts, colours, (seconds) => transport.seek(seconds));
const transport = new Transport(part.file, () => show());
const keyDialog = new KeyDialog(part, () => {
  part.alert.hidden = true;
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
    alarm("Record your voice first, or choose another one.");
    part.record.focus();
    return;
  }
  running?.abort();
  const control = (running = new AbortController());
  const body = request();
  begin(voice);
  const began = performance.now();
  const sent = () => (performance.now() - began) / 1000;
  const pieces = [];
  let told = "";
  try {
    const live = CAN_STREAM ? await Player.open(RATE, Number(buffer), show) : null;
    if (control.signal.aborted) return;
    transport.begin(live);
    for await (const event of speak(body, control.signal)) {
      if (event.samples) {
        if (!pieces.length) hears(sent());
        pieces.push(event.samples);
        wave.push(event.samples, colours.of(event.speaker));
        timeline.push(event);
        live?.push(event.samples);
        part.rtf.textContent = (sent() / wave.seconds).toFixed(2);
        frame();
      } else {
        if (event.report) timeline.finish(event.report.parts);
        told = ended(event.reason);
      }
    }
  } catch (error) {
    if (control.signal.aborted && running !== control) return; // another request has begun
    if (control.signal.aborted) told = `Cancelled after ${wave.seconds.toFixed(1)} seconds.`;
    else told = refused(error);
    transport.cut();
  }
  if (running === control) end(pieces, told);
}

function begin(voice) {
  wave.clear();
  timeline.clear(voice === RECORDING ? "You" : voice || "Voice");
  part.alert.hidden = true;
  for (const name of ["first-audio", "rtf", "starvation", "buffered"]) part[name].textContent = "–";
  part.download.removeAttribute("href");
  part.download.ariaDisabled = "true";
  part.cancel.hidden = false;
  state("waiting", "Waiting for the first audio…");
  remember();
}

function hears(seconds) {
  part["first-audio"].textContent = seconds < 2 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
  state("streaming", CAN_STREAM ? "Speaking." : "Being spoken; this address is not secure, so it is heard when it is whole.");
}

function ended(reason) {
  const how = { stop: "Finished", length: "Ended at its longest", runaway: "Ended as it ran away" }[reason] ?? "Cancelled";
  return `${how}: ${wave.seconds.toFixed(1)} seconds.`;
}

// What to say of an error.
function refused(error) {
  if (error.status === 401) keyDialog.ask(error.message);
  alarm(error.status === undefined ? `The server cannot be reached: ${error.message}.` : error.message);
  return wave.seconds ? `Broken off after ${wave.seconds.toFixed(1)} seconds.` : "Nothing was spoken.";
}

function end(pieces, told) {
  running = null;
  if (document.activeElement === part.cancel) part.speak.focus();
  part.cancel.hidden = true;
  wave.whole = true;
  if (pieces.length) {
    const url = URL.createObjectURL(wav(pieces));
    transport.finish(url);
    part.download.href = url;
    part.download.download = `speech-${values().seed}.wav`;
    part.download.removeAttribute("aria-disabled");
  }
  state(pieces.length ? "done" : "idle", told);
  show();
}

function state(name, told) {
  part.stage.dataset.state = name;
  part.status.textContent = told;
}

function alarm(sentence) {
  part.alert.textContent = sentence;
  part.alert.hidden = false;
}

// Everything that moves while it plays.
function show(player = null) {
  if (player) {
    const { gaps, starved, buffered } = player;
    part.starvation.textContent = gaps ? `${gaps} gap${gaps > 1 ? "s" : ""}, ${starved.toFixed(1)} s` : "0 gaps";
    part.starvation.dataset.bad = gaps > 0;
    part.buffered.textContent = `${buffered.toFixed(1)} s`;
    if (player.finished && transport.live === player) transport.landed();
  }
  if (!transport.live && transport.whole) part.buffered.textContent = "–";
  frame();
  if (!transport.live && transport.playing) requestAnimationFrame(() => show());
}

function frame() {
  const at = transport.position;
  wave.draw(at);
  timeline.draw(wave.span, at);
  const speaker = timeline.at(at);
  part.clock.textContent = clock(at);
  part.length.textContent = clock(wave.seconds);
  part.now.textContent = transport.playing && speaker ? timeline.label(speaker) : "";
  part.now.dataset.speaker = speaker ? colours.of(speaker.speaker) : "";
  part.play.disabled = !transport.live && !transport.whole;
  part.play.ariaLabel = transport.playing ? "Pause" : "Play";
  part.play.dataset.playing = transport.playing;
  part.seek.ariaDisabled = String(!transport.whole);
  part.seek.ariaValueMax = wave.seconds.toFixed(1);
  part.seek.ariaValueNow = at.toFixed(1);
  const who = speaker ? `, ${timeline.label(speaker)}` : "";
  part.seek.ariaValueText = wave.seconds ? `${at.toFixed(1)} of ${wave.seconds.toFixed(1)} seconds${who}` : "Nothing spoken yet";
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
part.play.addEventListener("click", () => transport.toggle());
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
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };
part.seek.addEventListener("keydown", (event) => {
  if (event.key === " ") transport.toggle();
  else if (event.key in STEPS) transport.seek(Math.min(wave.seconds, transport.position + STEPS[event.key]));
  else return;
  event.preventDefault();
});
const pointAt = (event) => {
  const box = part.seek.getBoundingClientRect();
  transport.seek(Math.min(wave.seconds, Math.max(0, (event.clientX - box.left) / box.width) * wave.span));
};
part.seek.addEventListener("pointerdown", (event) => {
  part.seek.setPointerCapture(event.pointerId);
  pointAt(event);
});
part.seek.addEventListener("pointermove", (event) => part.seek.hasPointerCapture(event.pointerId) && pointAt(event));
part.copy.addEventListener("click", async () => {
  remember();
  const own = form.elements.voice?.value === RECORDING ? " Your recording is not in it." : "";
  try {
    await navigator.clipboard.writeText(location.href);
    part.status.textContent = `The link is copied.${own}`;
  } catch {
    part.status.textContent = `The link stands in the address bar.${own}`;
  }
});
window.addEventListener("hashchange", recall);

if (location.hash.length > 1) recall();
else editor.text = EXAMPLES.dialogue;
server.load();
show();
