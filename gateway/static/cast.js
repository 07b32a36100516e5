// The speakers of a dialogue, and a voice for each.

const MODELS_OWN = [["feminine", "Feminine, the model chooses"], ["masculine", "Masculine, the model chooses"]];

export class Cast {
  constructor(card, rows, colours) {
    Object.assign(this, { card, rows, colours });
    this.voices = []; // names
    this.names = [];
    this.chosen = {}; // voice by speaker, also of those whose labels were just deleted
    rows.addEventListener("change", ({ target }) => {
      this.chosen[target.dataset.name] = target.value;
      card.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }

  // { speaker: voice } of those who have one.
  get speakers() {
    return Object.fromEntries(this.names.map((name) => [name, this.chosen[name]]).filter(([, voice]) => voice));
  }

  set speakers(chosen) {
    this.chosen = { ...chosen };
    this.show(this.names, true);
  }

  // voices: names of the server's.
  offer(voices) {
    this.voices = voices;
    this.show(this.names, true);
  }

  show(names, again = false) {
    if (!again && names.join("\n") === this.names.join("\n")) return;
    this.names = names;
    this.card.hidden = !names.length;
    this.rows.replaceChildren(...names.map((name) => this.#row(name)));
  }

  #row(name) {
    const row = document.createElement("label");
    row.className = "speaker";
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.dataset.speaker = this.colours.of(name);
    badge.textContent = name;
    const select = document.createElement("select");
    select.dataset.name = name;
    select.setAttribute("aria-label", `Voice of ${name}`);
    select.add(new Option("The server chooses", ""));
    const own = this.chosen[name];
    const known = [...this.voices.map((voice) => [voice, voice]), ...MODELS_OWN];
    if (own && !known.some(([value]) => value === own)) known.push([own, own]); // a link of another server's
    for (const [value, text] of known) select.add(new Option(text, value));
    select.value = own ?? "";
    row.append(badge, select);
    return row;
  }
}
