// One request to the server, and what comes back while it is spoken.

export const RATE = 24000; // Hz that the page asks for

const KEY = "api-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // of HTTP; 0 where the speech broke off
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Refusal(answer.status, told?.error?.message ?? `The server answered with status ${answer.status}.`);
}

// The names of the server's voices.
export async function voices() {
  return (await (await ask("v1/audio/voices")).json()).voices.map((voice) => voice.name ?? voice.id);
}

// Yields { samples: Float32Array, stop: seconds, part, speaker } and at the end { reason, report }.
export async function* speak(request, signal) {
  const answer = await ask("v1/audio/speech", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...request, response_format: "pcm", stream_format: "sse", sample_rate: RATE }),
    signal,
  });
  const speed = request.speed ?? 1; // the server's seconds are those of the speech as it was generated
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Refusal(0, "The connection broke before the speech was whole.");
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const told = JSON.parse(event.slice(event.indexOf("data: ") + 6));
      if (told.type === "speech.audio.error") throw new Refusal(0, told.error.message);
      if (told.type === "speech.audio.done") {
        yield { reason: told.finish_reason, report: scaled(told.report, speed) };
        return;
      }
      yield { samples: decoded(told.audio), stop: told.stop / speed, part: told.part, speaker: told.speaker };
    }
  }
}

function scaled(report, speed) {
  if (!report) return null;
  return { ...report, parts: report.parts.map((one) => ({ ...one, start: one.start / speed, stop: one.stop / speed })) };
}

// s16le in base64 -> samples in [-1, 1].
function decoded(base64) {
  const text = atob(base64);
  const samples = new Float32Array(text.length >> 1);
  for (let at = 0; at < samples.length; at += 1) {
    const word = text.charCodeAt(2 * at) | (text.charCodeAt(2 * at + 1) << 8);
    samples[at] = ((word << 16) >> 16) / 32768;
  }
  return samples;
}

// Samples of a speech -> a WAV file, mono, s16le.
export function wav(pieces) {
  const bytes = 2 * pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const word = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, bytes, true);
  let at = 44;
  for (const piece of pieces) for (const sample of piece) view.setInt16((at += 2) - 2, Math.round(32768 * sample), true);
  return new Blob([view], { type: "audio/wav" });
}
