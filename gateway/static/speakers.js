// Who speaks in a text, as far as the page can tell; the server decides. And each one's colour.

const COLOURS = 8;
// `Anna:` and `[SPEAKER0]` at the start of a line.
const LABEL = /^[ \t]*(?:\[((?:SPEAKER_?|S)\d+)\]|(\p{L}[\p{L}\p{M}\p{N}'’. -]{0,39}?)[ \t]*[:：](?=\s|$))/gmu;

// Labels of a text: { name, start, stop }, positions in characters. None where there are fewer than two.
export function labels(text) {
  const found = [...text.matchAll(LABEL)].map((match) => {
    const start = match.index + match[0].search(/\S/);
    return { name: match[1] ?? match[2], start, stop: match.index + match[0].length };
  });
  return found.length > 1 ? found : [];
}

export class Colours {
  #names = [];

  // Speakers in the order in which they came keep their colours until the next text.
  reset(names) {
    this.#names = [...new Set(names)];
  }

  of(name) {
    const known = name ?? "";
    if (!this.#names.includes(known)) this.#names.push(known);
    return this.#names.indexOf(known) % COLOURS;
  }
}
