// The loudspeaker while a speech is being made. Its clock is what was really played.

export const CAN_STREAM = "AudioWorkletNode" in window; // only in a secure context: https, or localhost

const contexts = new Map(); // by sample rate: browsers allow a few only

async function contextFor(rate) {
  if (!contexts.has(rate)) {
    const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    contexts.set(rate, context.audioWorklet.addModule(new URL("worklet.js", import.meta.url)).then(() => context));
  }
  const context = await contexts.get(rate);
  await context.resume();
  return context;
}

export class Player {
  // rate: Hz of the samples. buffer: seconds before it plays. Calls changed(player) as it plays.
  // To be called from a click or a key press: browsers keep pages silent until then.
  static async open(rate, buffer, changed) {
    return new Player(await contextFor(rate), buffer, changed);
  }

  constructor(context, buffer, changed) {
    this.context = context;
    this.seconds = this.buffered = this.starved = 0; // seconds played, waiting, and without sound
    this.gaps = 0;
    this.finished = false;
    this.node = new AudioWorkletNode(context, "feeder", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { buffer },
    });
    this.node.port.onmessage = ({ data }) => {
      const rate = context.sampleRate;
      this.seconds = data.played / rate;
      this.buffered = data.buffered / rate;
      this.starved = data.starved / rate;
      this.gaps = data.gaps;
      this.finished = data.finished;
      changed(this);
    };
    this.node.connect(context.destination);
  }

  get playing() {
    return !this.finished && this.context.state === "running";
  }

  // samples: Float32Array.
  push(samples) {
    this.node.port.postMessage({ samples });
  }

  // Nothing more comes.
  complete() {
    this.node.port.postMessage({ now: false });
  }

  toggle() {
    return this.playing ? this.context.suspend() : this.context.resume();
  }

  stop() {
    this.node.port.onmessage = null;
    this.node.port.postMessage({ now: true });
    this.node.disconnect();
    this.finished = true;
  }
}
