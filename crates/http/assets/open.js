// The open replies as the stream has them. Their text grows for a price that depends on what is appended.

import { outline, member } from "./json.js";

/** Whether more text can come. */
export function isOpen(message) {
  return message.state === "reserved" || message.state === "streaming";
}

const PLAIN = new Set(["type", "text"]);

/** Returns the text of a block without other members. Only such a block grows by an append of text. */
function plainText(block) {
  if (typeof block === "object") return block.plain;
  const value = JSON.parse(block);
  const isPlain = value?.type === "text" && typeof value.text === "string" && Object.keys(value).every((name) => PLAIN.has(name));
  return isPlain ? value.text : undefined;
}

export class OpenReplies {
  #replies = new Map();

  /** A reply without content begins. */
  begin({ id, revision, state }) {
    this.#replies.set(id, { blocks: [], revision, state });
  }

  forget(id) {
    this.#replies.delete(id);
  }

  /** Applies an event `delta` or `replaced`. `isWhole` says whether the content is known from its begin. */
  write(event, data) {
    const { id, seq, revision, state, parts } = JSON.parse(data);
    const known = this.#replies.get(id);
    const reply = event === "replaced" ? { blocks: [] } : known;
    if (!reply) return { id, seq, revision, isWhole: false };
    const nodes = member(outline(data), "parts").items;
    parts.forEach((part, at) => {
      if (part.text === undefined) {
        const { items } = member(nodes[at], "blocks");
        reply.blocks.push(...items.map((item) => data.slice(item.start, item.end)));
        return;
      }
      const last = reply.blocks.at(-1);
      const before = last === undefined ? undefined : plainText(last);
      if (before === undefined) reply.blocks.push({ plain: part.text });
      else if (typeof last === "object") last.plain += part.text;
      else reply.blocks[reply.blocks.length - 1] = { plain: before + part.text };
    });
    this.#replies.set(id, Object.assign(reply, { revision, state }));
    return { id, seq, revision, isWhole: true };
  }

  /** Returns a message with the content of its open reply, unless the message is later. */
  over(message) {
    const reply = this.#replies.get(message.id);
    if (!reply || reply.revision < message.revision || message.damaged) return message;
    const { blocks, revision, state } = reply;
    return { ...message, blocks, revision, state, size: undefined };
  }
}
