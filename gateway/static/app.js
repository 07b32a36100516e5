// The page: a form that makes requests, and a stage on which they are heard.

import { RECORDING } from "./choices.js";
import { Form } from "./form.js";
import { KeyDialog } from "./key_dialog.js";
import { Recorder } from "./recorder.js";
import { Server } from "./server.js";
import { Colours } from "./speakers.js";
import { speak } from "./speech.js";
import { Stage } from "./stage.js";

const part = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const colours = new Colours();
const stage = new Stage(part, colours);
const recorder = new Recorder(part, (sentence) => stage.alarm(sentence));
const form = new Form(part, colours, recorder);
const keyDialog = new KeyDialog(part, () => {
  stage.calm();
  server.load();
});
const server = new Server(part.server, keyDialog, (names) => form.offer(names));
let running = null; // the AbortController of the request in progress

async function run() {
  if (!part.request.reportValidity()) return;
  if (form.lacksRecording) {
    stage.alarm("Record your voice first, or choose another one.");
    part.record.focus();
    return;
  }
  running?.abort();
  const control = (running = new AbortController());
  const { body, label, values } = form;
  stage.begin(label);
  part.cancel.hidden = false;
  form.remember();
  const began = performance.now();
  const sent = () => (performance.now() - began) / 1000;
  const pieces = [];
  let told = "";
  try {
    const live = await stage.open(Number(values.buffer));
    if (control.signal.aborted) live?.stop();
    control.signal.throwIfAborted();
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
  stage.end(pieces, `speech-${form.values.seed}.wav`, told);
}

part.request.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
part.cancel.addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) part.request.requestSubmit();
  else if (event.key === "Escape" && !keyDialog.open) running?.abort();
});
part.copy.addEventListener("click", async () => {
  form.remember();
  const own = form.values.voice === RECORDING ? " Your recording is not in it." : "";
  try {
    await navigator.clipboard.writeText(location.href);
    stage.tell(`The link is copied.${own}`);
  } catch {
    stage.tell(`The link stands in the address bar.${own}`);
  }
});
server.load();
