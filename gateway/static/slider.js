// The slider over the waveform: where in the speech one is, and the way elsewhere.

// Seconds by key.
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };

export class Slider {
  constructor(element, wave, transport) {
    Object.assign(this, { element, wave, transport });
    element.addEventListener("keydown", (event) => {
      if (event.key === " ") transport.toggle();
      else if (event.key in STEPS) transport.seek(Math.min(wave.seconds, transport.position + STEPS[event.key]));
      else return;
      event.preventDefault();
    });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#point(event);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#point(event);
    });
  }

  // at: seconds. speaker: who speaks then, if anybody.
  draw(at, speaker) {
    const { element, wave } = this;
    element.ariaDisabled = String(!this.transport.whole);
    element.ariaValueMax = wave.seconds.toFixed(1);
    element.ariaValueNow = at.toFixed(1);
    const who = speaker === undefined ? "" : `, ${speaker}`;
    const told = `${at.toFixed(1)} of ${wave.seconds.toFixed(1)} seconds${who}`;
    element.ariaValueText = wave.seconds ? told : "Nothing spoken yet";
  }

  #point(event) {
    const box = this.element.getBoundingClientRect();
    const seconds = ((event.clientX - box.left) / box.width) * this.wave.span;
    this.transport.seek(Math.min(this.wave.seconds, Math.max(0, seconds)));
  }
}
