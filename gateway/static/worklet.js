// Plays samples as they come, on the audio thread, from a jitter buffer.

const MOST_BUFFER = 2; // seconds that the buffer grows to by itself
const REPORTS = 20; // a second

class Feeder extends AudioWorkletProcessor {
  // processorOptions.buffer: seconds that must have come before it plays.
  constructor({ processorOptions }) {
    super();
    this.need = processorOptions.buffer * sampleRate;
    this.queue = [];
    this.head = 0; // samples of queue[0] that were played
    this.buffered = this.played = 0; // samples
    this.gaps = this.starved = this.silence = 0; // starved and silence: samples
    this.filling = true;
    this.complete = this.dry = false; // dry: sound has come after silence
    this.untilReport = 0;
    this.port.onmessage = ({ data }) => (data.samples ? this.take(data.samples) : this.end(data.now));
  }

  take(samples) {
    // Silence was a gap only if sound comes after it: the end is told a little later than the last samples.
    this.dry = this.silence > 0;
    this.queue.push(samples);
    this.buffered += samples.length;
  }

  end(now) {
    this.complete = true;
    if (now) {
      this.queue = [];
      this.buffered = 0;
    }
  }

  process(_inputs, [[output]]) {
    if (this.filling && (this.complete || (this.buffered && this.buffered >= this.need))) this.resume();
    const filled = this.filling ? 0 : this.fill(output);
    this.played += filled;
    if (filled < output.length && this.played && !this.complete) {
      this.silence += output.length - filled;
      this.filling = true;
    }
    const finished = this.complete && !this.buffered;
    this.untilReport -= output.length;
    if (this.untilReport <= 0 || finished) {
      this.untilReport = sampleRate / REPORTS;
      const { played, buffered, gaps, starved } = this;
      this.port.postMessage({ played, buffered, gaps, starved, finished });
    }
    return !finished;
  }

  resume() {
    if (this.dry) {
      this.gaps += 1;
      this.starved += this.silence;
      // One gap promises another: wait for more from now on.
      const most = Math.max(this.need, MOST_BUFFER * sampleRate);
      this.need = Math.min(Math.max(2 * this.need, sampleRate / 4), most);
    }
    this.silence = 0;
    this.filling = this.dry = false;
  }

  // Returns how many samples there were.
  fill(output) {
    let at = 0;
    while (at < output.length && this.queue.length) {
      const piece = this.queue[0].subarray(this.head, this.head + output.length - at);
      output.set(piece, at);
      at += piece.length;
      this.head += piece.length;
      if (this.head === this.queue[0].length) {
        this.queue.shift();
        this.head = 0;
      }
    }
    this.buffered -= at;
    return at;
  }
}

registerProcessor("feeder", Feeder);
