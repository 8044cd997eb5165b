// A page of messages, parsed without loss: each block and the metadata keep their JSON as stored.

import { outline, member } from "./json.js";

/** Adds the JSON of the blocks and of the metadata to a message. */
function withRaw(message, node, text) {
  const content = member(node, "content");
  const metadata = member(node, "metadata");
  const slice = (part) => text.slice(part.start, part.end);
  const { content: _, ...rest } = message;
  return {
    ...rest,
    blocks: (content?.items ?? []).map(slice),
    size: content ? new Blob([slice(content)]).size : 0,
    metadataRaw: metadata ? slice(metadata) : "{}",
  };
}

export function parseMessage(text) {
  return withRaw(JSON.parse(text), outline(text), text);
}

/** Returns the page with its messages in the order of the thread. A message that the store cannot read has `damaged`. */
export function parsePage(text) {
  const page = JSON.parse(text);
  const nodes = member(outline(text), "messages").items;
  const messages = page.messages.map((message, at) => withRaw(message, nodes[at], text));
  for (const { seq, id } of page.damaged) {
    if (seq !== undefined) messages.push({ seq, id: id ?? `#${seq}`, damaged: true, blocks: [], metadataRaw: "{}" });
  }
  messages.sort((a, b) => a.seq - b.seq);
  return { ...page, messages };
}
