// A growing reply for a screen reader: whole sentences, with time between them, and the end of the reply.

import { announce } from "./dom.js";

const PAUSE = 2500;
const LONGEST = 400;

export class Speech {
  #id = null;
  #said = 0;
  #last = 0;

  /** The open reply has this text now. */
  hear(id, textOf, isEnd) {
    if (this.#id !== id) {
      if (isEnd) return;
      [this.#id, this.#said] = [id, textOf().length];
      announce("A reply begins");
    }
    const now = Date.now();
    if (!isEnd && now - this.#last < PAUSE) return;
    const rest = textOf().slice(this.#said);
    const end = isEnd ? rest.length : Math.max(rest.lastIndexOf(". "), rest.lastIndexOf("\n")) + 1;
    if (end > 0) {
      const part = rest.slice(0, end).trim();
      this.#said += end;
      this.#last = now;
      if (part) announce(part.length > LONGEST ? `${part.slice(0, LONGEST)}…` : part);
    }
    if (isEnd) {
      this.#id = null;
      announce("The reply is complete");
    }
  }
}
