// What is heard: first the stream, then the finished file. One position for both.

export class Transport {
  // file: an <audio> element. Calls changed() whenever something moves.
  constructor(file, changed) {
    this.file = file;
    this.changed = changed;
    this.live = null; // the Player of a stream
    this.whole = false;
    this.streamed = false; // whether it was heard while it came, as far as it was heard
    for (const event of ["play", "pause", "seeked", "ended"]) file.addEventListener(event, changed);
  }

  get position() {
    return this.live ? this.live.seconds : this.whole ? this.file.currentTime : 0;
  }

  get playing() {
    return this.live ? this.live.playing : this.whole && !this.file.paused;
  }

  // A new speech, heard through a Player or, where there is none, when it is whole.
  begin(live) {
    this.live?.stop();
    this.file.pause();
    this.whole = false;
    this.live = live;
    this.streamed = live !== null;
  }

  // The file can be played now; the stream goes on to its end if it is heard.
  finish(url) {
    URL.revokeObjectURL(this.file.src);
    this.file.src = url;
    this.whole = true;
    if (!this.streamed) this.file.play().catch(() => {}); // browsers may want a click first
    this.live?.complete();
  }

  // The stream was heard to its end.
  landed() {
    const at = this.live.seconds;
    this.live = null;
    this.file.currentTime = at;
  }

  // Silence, and the file if there is one.
  cut() {
    this.live?.stop();
    this.live = null;
  }

  toggle() {
    if (this.live) this.live.toggle().then(this.changed);
    else if (this.file.paused) this.file.play();
    else this.file.pause();
  }

  seek(seconds) {
    if (!this.whole) return;
    const going = this.playing;
    this.cut();
    this.file.currentTime = Math.max(0, seconds);
    if (going) this.file.play();
    this.changed();
  }
}
