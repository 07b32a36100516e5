// The stage, where a speech is heard and seen.

import { CAN_STREAM, Player } from "./player.js";
import { Slider } from "./slider.js";
import { RATE, wav } from "./speech.js";
import { clock, Timeline } from "./timeline.js";
import { Transport } from "./transport.js";
import { Waveform } from "./waveform.js";

const FIGURES = ["first-audio", "rtf", "starvation", "buffered"];

export class Stage {
  // part: the elements of the page by name. colours: of the speakers.
  constructor(part, colours) {
    Object.assign(this, { part, colours });
    this.wave = new Waveform(part.wave, RATE);
    this.transport = new Transport(part.file, () => this.#show());
    this.timeline = new Timeline(part.lanes, part.parts, colours, (seconds) => this.transport.seek(seconds));
    this.slider = new Slider(part.seek, this.wave, this.transport);
    part.play.addEventListener("click", () => this.transport.toggle());
    this.#show();
  }

  // A new speech is asked for. voice: what it is labelled with if it has no names.
  begin(voice) {
    this.wave.clear();
    this.timeline.clear(voice);
    this.transport.begin(null);
    this.calm();
    for (const name of FIGURES) this.part[name].textContent = "–";
    this.part.download.removeAttribute("href");
    this.part.download.ariaDisabled = "true";
    this.#state("waiting", "Waiting for the first audio…");
  }

  // Returns the Player of a stream, with so many seconds of buffer; null where a speech is heard when it is whole.
  async open(buffer) {
    return CAN_STREAM ? Player.open(RATE, buffer, (player) => this.#show(player)) : null;
  }

  // The first audio has come, after so many seconds.
  hear(seconds) {
    const told = seconds < 2 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
    this.part["first-audio"].textContent = told;
    const unheard = "Being spoken; this address is not secure, so it is heard when it is whole.";
    this.#state("streaming", CAN_STREAM ? "Speaking." : unheard);
  }

  // piece: { samples, stop, part, speaker }. seconds: since the request was sent.
  push(piece, seconds) {
    this.wave.push(piece.samples, this.colours.of(piece.speaker));
    this.timeline.push(piece);
    this.part.rtf.textContent = (seconds / this.wave.seconds).toFixed(2);
    this.#frame();
  }

  // The server has told of the end. Returns what to say of it; so do the next two.
  finish({ reason, report }) {
    if (report) this.timeline.finish(report.parts);
    if (report?.warnings.length) this.alarm(report.warnings.map((one) => `${one[0].toUpperCase()}${one.slice(1)}.`).join(" "));
    const ends = { stop: "Finished", length: "Ended at its longest", runaway: "Ended as it ran away" };
    return `${ends[reason] ?? "Cancelled"}: ${this.wave.seconds.toFixed(1)} seconds.`;
  }

  cancel() {
    this.transport.cut();
    return `Cancelled after ${this.wave.seconds.toFixed(1)} seconds.`;
  }

  fail(error) {
    this.transport.cut();
    this.alarm(error.status === undefined ? `The server cannot be reached: ${error.message}.` : error.message);
    return this.wave.seconds ? `Broken off after ${this.wave.seconds.toFixed(1)} seconds.` : "Nothing was spoken.";
  }

  // The pieces are all there is: a file of that name, if there are any.
  end(pieces, name, told) {
    this.wave.whole = true;
    if (pieces.length) {
      const url = URL.createObjectURL(wav(pieces));
      this.transport.finish(url);
      this.part.download.href = url;
      this.part.download.download = name;
      this.part.download.removeAttribute("aria-disabled");
    }
    this.#state(pieces.length ? "done" : "idle", told);
    this.#show();
  }

  tell(sentence) {
    this.part.status.textContent = sentence;
  }

  alarm(sentence) {
    this.part.alert.textContent = sentence;
    this.part.alert.hidden = false;
  }

  calm() {
    this.part.alert.hidden = true;
  }

  #state(name, told) {
    this.part.stage.dataset.state = name;
    this.tell(told);
  }

  // Everything that moves while it plays.
  #show(player = null) {
    const { part, transport } = this;
    if (player) {
      const { gaps, starved, buffered } = player;
      part.starvation.textContent = gaps ? `${gaps} gap${gaps > 1 ? "s" : ""}, ${starved.toFixed(1)} s` : "0 gaps";
      part.starvation.dataset.bad = gaps > 0;
      part.buffered.textContent = `${buffered.toFixed(1)} s`;
      if (player.finished && transport.live === player) transport.landed();
    }
    if (!transport.live && transport.whole) part.buffered.textContent = "–";
    this.#frame();
    if (!transport.live && transport.playing) requestAnimationFrame(() => this.#show());
  }

  #frame() {
    const { part, transport, wave, timeline } = this;
    const at = transport.position;
    const turn = timeline.at(at);
    const speaker = turn && timeline.label(turn);
    wave.draw(at);
    timeline.draw(wave.span, at);
    this.slider.draw(at, speaker);
    part.clock.textContent = clock(at);
    part.length.textContent = clock(wave.seconds);
    part.now.textContent = transport.playing && turn ? speaker : "";
    part.now.dataset.speaker = turn ? this.colours.of(turn.speaker) : "";
    part.play.disabled = !transport.live && !transport.whole;
    part.play.ariaLabel = transport.playing ? "Pause" : "Play";
    part.play.dataset.playing = transport.playing;
  }
}
