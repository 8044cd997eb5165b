// The messages of a thread, in chunks of sequence numbers. Chunks are read when they are shown, and the oldest are dropped.

import { path, text, readPage, persistently, Problem } from "./api.js";
import { parsePage, parseMessage } from "./page.js";
import { OpenReplies, isOpen } from "./open.js";

/** The sequence numbers of a chunk. */
export const CHUNK = 32;
/** The most chunks in memory. */
const KEPT = 40;
/** The time between two reads of the same open message, in milliseconds. */
const PAUSE = 120;

export class History {
  #chunks = new Map();
  #dirty = new Map();
  #replies = new OpenReplies();
  #timer = 0;
  #closed = new AbortController();

  /** `changed` gets the number of a chunk with new messages; or `grown`, `reset` and `gone`. */
  constructor(thread, changed) {
    this.thread = thread;
    this.changed = changed;
    this.first = 1;
    this.last = 0;
    this.position = 0;
  }

  get #route() {
    return `v1/threads/${path(this.thread)}/messages`;
  }

  async #page(query, limit) {
    return parsePage(await readPage(text, this.#route, { query, signal: this.#closed.signal }, limit));
  }

  /** Returns the page of a chunk. A server with a low limit needs several reads for it. */
  async #pageOf(start) {
    const end = start + CHUNK;
    let after = Math.max(0, start - 1);
    const messages = [];
    for (;;) {
      const page = await persistently(() => this.#page({ after }, CHUNK), this.#closed.signal);
      messages.push(...page.messages);
      if (!page.hasMore || (messages.at(-1)?.seq ?? end) >= end - 1) return { ...page, messages };
      after = page.next.after;
    }
  }

  /** Reads where the thread begins and ends, and the position of that. */
  async open() {
    const end = await this.#page({ order: "desc" }, 1);
    const begin = await this.#page({ order: "asc" }, 1);
    this.first = begin.messages[0]?.seq ?? end.lastSeq + 1;
    this.last = end.lastSeq;
    this.position = end.position;
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  /** The number of chunks. The first one has the first message. */
  get count() {
    return Math.max(0, this.#global(this.last) - this.#global(this.first) + 1);
  }

  #global(seq) {
    return Math.floor(seq / CHUNK);
  }

  chunkOf(seq) {
    return this.#global(Math.min(Math.max(seq, this.first), Math.max(this.last, this.first))) - this.#global(this.first);
  }

  /** Returns a chunk: `state` is `loading`, `ready` or `failed`. Undefined before the first read. */
  chunk(at) {
    return this.#chunks.get(at);
  }

  /** Reads a chunk, unless it is there. */
  async load(at, { again = false } = {}) {
    const known = this.#chunks.get(at);
    if (known?.busy) {
      known.again ||= again;
      return;
    }
    if (known?.state === "ready" && !again) return;
    const chunk = known ?? { state: "loading", messages: [] };
    if (chunk.state === "failed") chunk.state = "loading";
    chunk.busy = true;
    this.#chunks.delete(at);
    this.#chunks.set(at, chunk);
    const start = (at + this.#global(this.first)) * CHUNK;
    try {
      const page = await this.#pageOf(start);
      const messages = page.messages.filter(({ seq }) => seq < start + CHUNK);
      chunk.messages = messages.map((message) => this.#replies.over(message));
      chunk.state = "ready";
      this.#markEmpty(at, page);
    } catch (problem) {
      if (this.#closed.signal.aborted) return;
      [chunk.state, chunk.problem] = ["failed", problem];
    }
    chunk.busy = false;
    this.#dropOld(at);
    this.changed(at);
    if (chunk.again) {
      chunk.again = false;
      this.load(at, { again: true });
    }
  }

  // Deleted messages leave chunks without any. One read shows all of them up to the next message.
  #markEmpty(at, page) {
    const next = page.messages[0]?.seq;
    const until = next === undefined ? (page.hasMore ? at : this.count - 1) : this.chunkOf(next) - 1;
    for (let empty = at + 1; empty <= Math.min(until, at + 4096); empty++) {
      if (!this.#chunks.has(empty)) {
        this.#chunks.set(empty, { state: "ready", messages: [], isEmpty: true });
        this.changed(empty);
      }
    }
  }

  #dropOld(kept) {
    const full = [...this.#chunks].filter(([, chunk]) => !chunk.isEmpty);
    for (const [at, chunk] of full.slice(0, Math.max(0, full.length - KEPT))) {
      if (at !== kept && !chunk.busy && !this.isShown?.(at)) this.#chunks.delete(at);
    }
  }

  /** Returns a message that is in memory. */
  message(id) {
    for (const { messages } of this.#chunks.values()) {
      const found = messages.find((message) => message.id === id);
      if (found) return found;
    }
    return undefined;
  }

  /** Applies an event of the stream of the thread. */
  receive(event, data) {
    switch (event) {
      case "added":
      case "edited":
      case "reserved":
      case "updated":
        return this.#take(event, parseMessage(data));
      case "delta":
      case "replaced":
        return this.#write(event, data);
      case "finished":
      case "abandoned":
        return this.#settle(event, JSON.parse(data));
      case "deleted":
        return this.#remove(JSON.parse(data).seq);
      case "damaged": {
        const { seq, id } = JSON.parse(data);
        return seq === undefined ? undefined : this.markDirty(seq, id);
      }
      case "cleared":
      case "pruned":
        return this.changed("reset");
      case "threadDeleted":
        return this.changed("gone");
      case "thread":
        return this.changed("summary");
      default:
        return undefined;
    }
  }

  #extend(seq) {
    if (seq <= this.last) return;
    this.last = seq;
    if (this.first > seq) this.first = seq;
    this.changed("grown");
  }

  /** A whole message. One with only new metadata has no content. */
  #take(event, message) {
    this.#extend(message.seq);
    this.changed("summary");
    const known = this.message(message.id);
    if (event === "reserved") this.#replies.begin(message);
    if (event === "added" || event === "edited") this.#replies.forget(message.id);
    if (event !== "updated") return this.#place(message);
    if (!known) return this.markDirty(message.seq, message.id);
    return this.#place({ ...message, blocks: known.blocks, size: known.size });
  }

  /** A part of an open reply. */
  #write(event, data) {
    const reply = this.#replies.write(event, data);
    this.#extend(reply.seq);
    const known = this.message(reply.id);
    if (!known || !reply.isWhole) return this.markDirty(reply.seq, reply.id);
    return known.revision <= reply.revision ? this.#place(this.#replies.over(known)) : undefined;
  }

  /** The end of a reply. The message is read once more, for its times and its metadata. */
  #settle(event, { id, seq, revision, reason }) {
    const known = this.message(id);
    if (known && known.revision <= revision) {
      const state = event === "finished" ? "final" : "abandoned";
      this.#place({ ...known, state, revision, abandonReason: reason, lease: undefined });
    }
    this.#replies.forget(id);
    this.markDirty(seq, id);
    this.changed("summary");
  }

  /** Puts a message into its chunk. A chunk that is being read is read again. */
  #place(message) {
    const at = this.chunkOf(message.seq);
    const chunk = this.#chunks.get(at);
    if (chunk?.busy || chunk?.isEmpty) return this.markDirty(message.seq, message.id);
    return this.put(at, message);
  }

  #remove(seq) {
    const at = this.chunkOf(seq);
    const chunk = this.#chunks.get(at);
    if (!chunk) return;
    chunk.messages = chunk.messages.filter((message) => message.seq !== seq);
    if (chunk.busy) chunk.again = true;
    this.changed(at);
    this.changed("summary");
  }

  /** Reads a message again, if its chunk is in memory. Several changes of one message lead to one read. */
  markDirty(seq, id) {
    const at = this.chunkOf(seq);
    const chunk = this.#chunks.get(at);
    if (!chunk) return;
    if (chunk.busy || chunk.isEmpty) {
      chunk.again = true;
      chunk.isEmpty = false;
      if (!chunk.busy) this.load(at, { again: true });
      return;
    }
    const ids = this.#dirty.get(at) ?? new Set();
    this.#dirty.set(at, ids.add(id));
    this.#schedule(0);
  }

  #schedule(delay) {
    if (this.#timer) return;
    this.#timer = setTimeout(async () => {
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      await Promise.all(
        dirty.flatMap(([at, ids]) =>
          ids.size > 4 ? [this.load(at, { again: true })] : [...ids].map((id) => this.#refresh(at, id)),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      this.#timer = 0;
      if (this.#dirty.size > 0 && !this.#closed.signal.aborted) this.#schedule(0);
    }, delay);
  }

  async #refresh(at, id) {
    const { signal } = this.#closed;
    try {
      const route = `${this.#route}/${path(id)}`;
      const message = parseMessage(await persistently(() => text(route, { signal }), signal));
      if (!isOpen(message)) this.#replies.forget(message.id);
      this.put(at, this.#replies.over(message));
    } catch (problem) {
      if (signal.aborted) return;
      if (problem instanceof Problem && (problem.status === 404 || problem.status === 410)) {
        const known = this.message(id);
        if (known) this.#remove(known.seq);
      } else {
        await this.load(at, { again: true });
      }
    }
  }

  /** Puts a version of a message into its chunk, unless a later one is there. */
  put(at, message) {
    const chunk = this.#chunks.get(at);
    if (!chunk) return;
    const known = chunk.messages.findIndex(({ seq }) => seq >= message.seq);
    if (known < 0) chunk.messages.push(message);
    else if (chunk.messages[known].seq === message.seq) {
      const { revision, updatedAt } = chunk.messages[known];
      if (revision > message.revision || (revision === message.revision && updatedAt > message.updatedAt)) return;
      chunk.messages[known] = message;
    } else chunk.messages.splice(known, 0, message);
    this.changed(at);
  }
}
