// A request in the address of the page. Behind the #, so that texts reach no server's log.

const SPEAKER = "speaker.";

// fields: { name: value } of the form; speakers: { name: voice }. Those that are empty or as in `defaults` are left out.
export function hash(fields, speakers, defaults) {
  const told = Object.entries(fields).filter(([name, value]) => value !== (defaults[name] ?? "") || name === "seed");
  const cast = Object.entries(speakers).map(([name, voice]) => [SPEAKER + name, voice]);
  return `#${new URLSearchParams([...told, ...cast])}`;
}

// The same back: { fields, speakers }; null where the address holds no request.
export function read(address) {
  const entries = [...new URLSearchParams(address.replace(/^#/, ""))];
  if (!entries.some(([name]) => name === "input")) return null;
  const ofCast = ([name]) => name.startsWith(SPEAKER);
  return {
    fields: Object.fromEntries(entries.filter((entry) => !ofCast(entry))),
    speakers: Object.fromEntries(entries.filter(ofCast).map(([name, voice]) => [name.slice(SPEAKER.length), voice])),
  };
}
