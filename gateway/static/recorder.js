// A voice to imitate: from the microphone, or a file.

const MOST_SECONDS = 15; // the shortest limit of any bundle
const LEAST_SECONDS = 0.5;
const RAW = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };

const dataURL = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

export class Recorder {
  // parts: the elements of the page by name. Calls fails(sentence) when there is no microphone to be had.
  constructor(parts, fails) {
    Object.assign(this, parts);
    this.fails = fails;
    this.url = null;
    this.record.addEventListener("click", () => (this.recording ? this.recording.stop() : this.#begin()));
    this.clip.addEventListener("change", () => this.clip.files.length && this.#keep(this.clip.files[0]));
  }

  // The fields of the request; null while there is no recording.
  get fields() {
    const said = this.transcript.value.trim();
    return this.url && { ref_audio: this.url, ...(said && { ref_text: said }) };
  }

  async #begin() {
    if (!navigator.mediaDevices) return this.fails("The microphone needs https, or localhost. A file can be chosen.");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: RAW });
    } catch (error) {
      return this.fails(`There is no microphone to record with: ${error.message}`);
    }
    const pieces = [];
    this.recording = new MediaRecorder(this.stream);
    this.recording.ondataavailable = ({ data }) => pieces.push(data);
    this.recording.onstop = () => this.#end(new Blob(pieces, { type: this.recording.mimeType }));
    this.recording.start();
    this.began = performance.now();
    this.#look(true);
    this.#watch();
  }

  async #end(blob) {
    const seconds = (performance.now() - this.began) / 1000;
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
    this.recording = null;
    this.#look(false);
    if (seconds < LEAST_SECONDS) this.#tell("That was too short.");
    else await this.#keep(blob, seconds);
  }

  async #keep(blob, seconds) {
    this.url = await dataURL(blob);
    URL.revokeObjectURL(this.heard.src);
    this.heard.src = URL.createObjectURL(blob);
    this.heard.hidden = false;
    this.#tell(seconds ? `Recorded ${seconds.toFixed(1)} seconds.` : `Taken: ${blob.name}`);
  }

  #tell(sentence) {
    this.recorded.textContent = sentence;
    this.status.textContent = sentence; // which is read out; how long it has lasted would be too much
  }

  #look(recording) {
    this.record.setAttribute("aria-pressed", String(recording));
    this.record.lastElementChild.textContent = recording ? "Stop" : "Record";
    this.level.hidden = !recording;
  }

  // Shows how loud it is and how long, and ends it in time.
  #watch() {
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser();
    this.context.createMediaStreamSource(this.stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      if (this.recording?.state !== "recording") return;
      const seconds = (performance.now() - this.began) / 1000;
      analyser.getFloatTimeDomainData(samples);
      this.level.value = Math.sqrt(samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0));
      this.recorded.textContent = `${seconds.toFixed(1)} of at most ${MOST_SECONDS} seconds`;
      if (seconds >= MOST_SECONDS) this.recording.stop();
      else requestAnimationFrame(look);
    };
    look();
  }
}
