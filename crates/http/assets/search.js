// The results of a search: threads by id and title, and messages by the full-text index of the store.

import { h, icon } from "./dom.js";
import { path, read, readPage, persistently } from "./api.js";
import { time } from "./format.js";
import { link } from "./route.js";
import { empty, failed } from "./states.js";

/** Returns the elements of the results. */
export async function search(text, { known, signal, settings }) {
  const [exact, hits] = await Promise.all([
    exactThread(text, signal),
    persistently(() => readPage(read, "v1/search", { query: { q: text }, signal }, 50), signal).catch((problem) => problem),
  ]);
  const wanted = text.toLowerCase();
  const byName = known.filter(({ thread, title }) => thread.toLowerCase().includes(wanted) || title.toLowerCase().includes(wanted));
  const threads = new Map([...(exact ? [exact] : []), ...byName.slice(0, 10)].map((thread) => [thread.thread, thread]));
  const rows = [];
  if (threads.size > 0) {
    rows.push(h("h2", { class: "list-title" }, "Threads"));
    rows.push([...threads.values()].map((thread) => item(threadRow(thread, settings))));
  }
  if (hits instanceof Error) {
    const isMissing = hits.status === 501;
    rows.push(isMissing ? empty("This store has no full-text index", "Only ids and titles of loaded threads are searched.") : failed(hits));
  } else if (hits.hits.length > 0) {
    rows.push(h("h2", { class: "list-title" }, "Messages"));
    rows.push(hits.hits.map((hit) => item(hitRow(hit, settings))));
    if (hits.terminatedEarly) rows.push(h("p", { class: "hint" }, "The search stopped at a limit. More words give fewer results."));
  } else if (threads.size === 0) {
    rows.push(empty("Nothing found", `No message and no loaded thread has “${text}”.`));
  }
  return rows;
}

async function exactThread(text, signal) {
  try {
    return await read(`v1/threads/${path(text)}`, { signal });
  } catch {
    return null;
  }
}

const item = (row) => h("div", { role: "listitem" }, row);

function threadRow(thread, settings) {
  return h(
    "a",
    { class: "row", href: link("threads", thread.thread, settings), "data-thread": thread.thread },
    h("span", { class: "row-top" }, h("span", { class: "row-title" }, thread.title), time(thread.activeAt)),
    h("span", { class: "row-meta" }, h("code", { class: "ellipsis" }, thread.thread)),
  );
}

function hitRow(hit, settings) {
  return h(
    "a",
    { class: "row", href: link("threads", hit.thread, { ...settings, at: hit.seq }), "data-thread": hit.thread, "data-seq": hit.seq },
    h("span", { class: "row-preview whole" }, marked(hit.snippet, hit.marks)),
    h("span", { class: "row-meta" }, h("span", null, hit.role), icon("chevron"), h("code", { class: "ellipsis" }, hit.thread), h("span", null, `#${hit.seq}`), time(hit.createdAt)),
  );
}

/** Returns a snippet with its terms marked. The marks are ranges of UTF-8 bytes. */
function marked(snippet, marks) {
  const utf8 = new TextEncoder().encode(snippet);
  const decoder = new TextDecoder();
  const parts = [];
  let at = 0;
  for (const [start, end] of marks) {
    if (start < at || end > utf8.length) continue;
    parts.push(decoder.decode(utf8.subarray(at, start)), h("mark", null, decoder.decode(utf8.subarray(start, end))));
    at = end;
  }
  parts.push(decoder.decode(utf8.subarray(at)));
  return parts;
}
