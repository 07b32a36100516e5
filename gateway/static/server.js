// The server behind the page: whether it is ready, and which voices it has.

import { voices } from "./speech.js";

const RETRY_MS = 3000;

export class Server {
  // pill: the element that tells. Calls offer(names of voices), with null where they cannot be had.
  constructor(pill, keyDialog, offer) {
    Object.assign(this, { pill, keyDialog, offer });
  }

  async load() {
    try {
      const names = await voices();
      this.offer(names);
      this.#tell("ready", names.length === 1 ? "1 voice" : `${names.length} voices`);
    } catch (error) {
      this.offer(null);
      this.#tell("broken", error.status === 401 ? "Wants a key" : "Not ready");
      if (error.status === 401) this.keyDialog.ask(error.message);
      else setTimeout(() => this.load(), RETRY_MS); // it may be starting
    }
  }

  #tell(state, text) {
    this.pill.dataset.state = state;
    this.pill.textContent = text;
  }
}
