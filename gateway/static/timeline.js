// Who speaks when: a lane for each speaker, and a list of what was said.

const NOBODY = "Who speaks when: nobody yet";
const SAME = 0.001; // seconds

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

export class Timeline {
  // Calls seek(seconds) when a part is chosen.
  constructor(lanes, list, colours, seek) {
    Object.assign(this, { lanes, list, colours, seek });
    this.clear("");
  }

  // voice: what a speech without names is labelled with.
  clear(voice) {
    this.voice = voice;
    this.turns = []; // { part, speaker, start, stop }, seconds
    this.lanes.replaceChildren();
    this.lanes.ariaLabel = NOBODY;
    this.list.replaceChildren();
    this.list.hidden = true;
  }

  label(turn) {
    return turn.speaker || this.voice;
  }

  // More of a part has come, up to `stop` seconds.
  push({ part, speaker, stop }) {
    const last = this.turns.at(-1);
    if (last?.part === part) last.stop = stop;
    else this.turns.push({ part, speaker, start: last?.stop ?? 0, stop });
  }

  // parts of the report: { speaker, start, stop, text }.
  finish(parts) {
    this.turns = parts.map((one, part) => ({ ...one, part }));
    this.list.replaceChildren(...this.turns.map((turn) => this.#item(turn)));
    this.list.hidden = !this.turns.length;
  }

  // Who speaks at a second; undefined in a pause.
  at(seconds) {
    return this.turns.find((turn) => turn.start - SAME <= seconds && seconds < turn.stop);
  }

  draw(span, position) {
    const drawn = `${span} ${this.turns.length} ${this.turns.at(-1)?.stop}`;
    if (drawn !== this.drawn) this.#rebuild(span);
    this.drawn = drawn;
    const now = this.at(position)?.part;
    for (const element of document.querySelectorAll("[data-part]")) {
      const current = Number(element.dataset.part) === now;
      if (current) element.setAttribute("aria-current", "true");
      else element.removeAttribute("aria-current");
    }
  }

  #rebuild(span) {
    const names = [...new Set(this.turns.map((turn) => this.label(turn)))];
    this.lanes.replaceChildren(...names.map((name) => this.#lane(name, span)));
    const told = this.turns.map((turn) => `${this.label(turn)} ${turn.start.toFixed(1)} to ${turn.stop.toFixed(1)}`);
    this.lanes.ariaLabel = told.length ? `Who speaks when, in seconds: ${told.join(", ")}` : NOBODY;
  }

  #lane(name, span) {
    const lane = document.createElement("div");
    lane.className = "lane";
    const title = document.createElement("span");
    title.textContent = name;
    const track = document.createElement("div");
    const turns = this.turns.filter((turn) => this.label(turn) === name);
    title.dataset.speaker = this.colours.of(turns[0].speaker);
    for (const turn of turns) {
      const block = document.createElement("i");
      block.dataset.speaker = title.dataset.speaker;
      block.dataset.part = turn.part;
      block.style.left = `${(100 * turn.start) / span}%`;
      block.style.width = `${(100 * (turn.stop - turn.start)) / span}%`;
      track.append(block);
    }
    lane.append(title, track);
    return lane;
  }

  #item(turn) {
    const item = document.createElement("li");
    item.dataset.part = turn.part;
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => this.seek(turn.start));
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.dataset.speaker = this.colours.of(turn.speaker);
    badge.textContent = this.label(turn);
    const time = document.createElement("time");
    time.textContent = clock(turn.start);
    const text = document.createElement("span");
    text.textContent = turn.text;
    button.append(time, badge, text);
    item.append(button);
    return item;
  }
}
