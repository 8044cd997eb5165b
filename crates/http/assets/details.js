// The details of a message: its ids and times, its lease, its metadata, and its calls in the audit log.

import { h, fill } from "./dom.js";
import { read, readPage } from "./api.js";
import { exactTime, time, bytes } from "./format.js";
import { json } from "./blocks.js";
import { outcomeOf } from "./outcome.js";

const row = (name, ...value) => [h("dt", null, name), h("dd", null, value)];

/** Shows the details in this element. */
export function details(element, thread, message) {
  const log = h("div", { class: "details-log" }, h("p", { class: "hint" }, "Reading the audit log…"));
  const { lease } = message;
  fill(
    element,
    h(
      "dl",
      { class: "facts" },
      row("Id", h("code", null, message.id)),
      row("State", message.state),
      row("Revision", message.revision),
      row("Sequence number", message.seq),
      row("Created", exactTime(message.createdAt)),
      row("Changed", exactTime(message.updatedAt)),
      lease && row("Lease", `expires ${exactTime(lease.expiresAt)}`),
      row("Content", `${message.size === undefined ? "" : `${bytes(message.size)}, `}${message.blocks.length === 1 ? "1 block" : `${message.blocks.length} blocks`}`),
    ),
    h("h4", null, "Metadata"),
    message.metadataRaw === "{}" ? h("p", { class: "hint" }, "This message has no metadata.") : json(message.metadataRaw)(),
    h("h4", null, "Written by"),
    log,
  );
  showLog(log, thread, message);
}

async function showLog(element, thread, message) {
  let page;
  try {
    page = await readPage(read, "v1/audit", { query: { thread } }, 200);
  } catch (problem) {
    const reason = problem.status === 501 ? "The store keeps no audit log." : problem.message;
    return fill(element, h("p", { class: "hint" }, reason));
  }
  const calls = page.entries.flatMap(({ record }) =>
    record.items.filter((item) => item.messages?.includes(message.id)).map((item) => ({ record, item })),
  );
  if (calls.length === 0) {
    const older = page.more ? " among the last 200 entries of this thread" : "";
    return fill(element, h("p", { class: "hint" }, `The audit log has no call for this message${older}.`));
  }
  fill(
    element,
    h(
      "ul",
      { class: "calls" },
      calls.map(({ record, item }) =>
        h(
          "li",
          null,
          h("b", null, record.actor ?? "no actor"),
          ` ${item.operation}`,
          item.revision !== undefined && ` r${item.revision}`,
          " ",
          outcomeOf(record),
          " ",
          time(record.at),
        ),
      ),
    ),
  );
}
