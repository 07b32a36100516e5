// The speech's loudness over time, in the colours of those who speak.

const BIN = 240; // samples: 10 ms
const BAR = 3; // CSS pixels, and the space to the next
const SPACE = 2;
const LEAST_SPAN = 4; // seconds

export class Waveform {
  // rate: Hz.
  constructor(canvas, rate) {
    Object.assign(this, { canvas, rate });
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.peaks = []; // the loudest sample of each bin
    this.owners = []; // the speaker's colour
    this.samples = this.position = 0; // in samples; in seconds
    this.whole = false;
    this.draw();
  }

  get seconds() {
    return this.samples / this.rate;
  }

  // Seconds from the left edge to the right one.
  get span() {
    return this.whole ? this.seconds : Math.max(LEAST_SPAN, Math.ceil(this.seconds / 2 + 0.5) * 2);
  }

  push(samples, colour) {
    for (const sample of samples) {
      const bin = Math.floor(this.samples / BIN);
      this.peaks[bin] = Math.max(this.peaks[bin] ?? 0, Math.abs(sample));
      this.owners[bin] ??= colour;
      this.samples += 1;
    }
  }

  // position: seconds that were heard.
  draw(position = this.position) {
    this.position = position;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = devicePixelRatio;
    if (this.canvas.width !== width * scale || this.canvas.height !== height * scale) {
      this.canvas.width = width * scale;
      this.canvas.height = height * scale;
    }
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const loudest = Math.max(0.1, this.peaks.reduce((most, peak) => Math.max(most, peak), 0));
    const binsPerPixel = (this.span * this.rate) / BIN / width;
    for (let x = 0; x + BAR <= width; x += BAR + SPACE) {
      const from = Math.floor(x * binsPerPixel);
      const to = Math.max(from + 1, Math.floor((x + BAR + SPACE) * binsPerPixel));
      let peak = 0;
      for (let bin = from; bin < to; bin += 1) peak = Math.max(peak, this.peaks[bin] ?? 0);
      const made = from < this.peaks.length;
      const tall = made ? Math.max(BAR, Math.sqrt(peak / loudest) * (height - 4)) : BAR;
      pen.fillStyle = made ? colour(`--speaker-${this.owners[from]}`) : colour("--line");
      pen.globalAlpha = !made || (x / width) * this.span < position ? 1 : 0.38;
      pen.beginPath();
      pen.roundRect(x, (height - tall) / 2, BAR, tall, BAR / 2);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (!this.samples) return;
    pen.fillStyle = colour("--text");
    pen.fillRect(Math.min((position / this.span) * width, width - 2), 0, 2, height);
  }
}
