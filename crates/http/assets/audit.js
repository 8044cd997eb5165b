// The audit log of the tenant, or of one thread: the latest entries first.

import { h, fill, icon, iconButton } from "./dom.js";
import { read, readPage, persistently } from "./api.js";
import { time, exactTime, count } from "./format.js";
import { link, go } from "./route.js";
import { outcomeOf, outcomeSentence } from "./outcome.js";
import { empty, loading, failed } from "./states.js";

const PAGE = 50;

export class AuditView {
  #closed = new AbortController();

  constructor({ query }) {
    this.thread = query.get("thread") ?? "";
    this.field = h("input", { type: "search", value: this.thread, placeholder: "Id of a thread", "aria-label": "Only the entries of this thread", autocomplete: "off", spellcheck: "false" });
    const form = h("form", { class: "search", role: "search" }, icon("search"), this.field);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      go(link("audit", null, { thread: this.field.value.trim() }));
    });
    this.list = h("div", { class: "entries", role: "list", "aria-label": "Entries" }, loading(8));
    this.foot = h("div", { class: "list-foot" });
    this.element = h(
      "section",
      { class: "plain-view", "aria-labelledby": "audit-title" },
      h("header", { class: "view-head" }, h("h1", { id: "audit-title" }, "Audit log"), form, iconButton("refresh", "Refresh", () => this.refresh())),
      h("p", { class: "hint lead" }, "Each entry records a call: the caller, the operation, the messages and the outcome, without content."),
      this.list,
      this.foot,
    );
    this.refresh();
  }

  focusSearch() {
    this.field.focus();
    this.field.select();
  }

  async refresh() {
    fill(this.foot);
    fill(this.list, loading(8));
    await this.#read(null);
  }

  async #read(before) {
    const { signal } = this.#closed;
    let page;
    try {
      const query = { thread: this.thread, before };
      page = await persistently(() => readPage(read, "v1/audit", { query, signal }, PAGE), signal);
    } catch (problem) {
      if (signal.aborted) return;
      fill(this.foot);
      fill(
        this.list,
        problem.status === 501
          ? empty("This store keeps no audit log", "A host adds the layer audit to its stack to record each call.")
          : failed(problem, () => this.refresh()),
      );
      return;
    }
    if (before === null) fill(this.list);
    const entries = [...page.entries].sort((a, b) => b.number - a.number);
    entries.forEach((entry) => this.list.append(entryOf(entry)));
    if (before === null && entries.length === 0) {
      fill(this.list, empty("No entries", this.thread ? "The log has no call for this thread." : "A call shows here after it ended, if the stack has the layer audit."));
    }
    const damaged = page.damaged.length > 0 && h("p", { class: "hint bad" }, `The store cannot read ${count(page.damaged.length)} entries.`);
    const older = page.more && entries.length > 0 && h("button", { type: "button", on: { click: () => this.#read(entries.at(-1).number) } }, "Older entries");
    fill(this.foot, damaged, older);
  }

  close() {
    this.#closed.abort();
  }
}

function entryOf({ number, hash, previous, record }) {
  const { items } = record;
  const operations = [...new Set(items.map(({ operation }) => operation))].join(", ");
  const threads = [...new Set(items.map(({ thread }) => thread).filter(Boolean))];
  const row = (name, ...value) => [h("dt", null, name), h("dd", null, value)];
  const summary = h(
    "summary",
    null,
    h("span", { class: "entry-number" }, `#${count(number)}`),
    h("span", { class: "entry-operation" }, operations || "call"),
    h("span", { class: "entry-actor ellipsis" }, record.actor ?? h("span", { class: "quiet" }, "no actor")),
    h("span", { class: "entry-thread ellipsis" }, threads.length > 1 ? `${threads[0]} +${threads.length - 1}` : threads[0]),
    outcomeOf(record),
    time(record.at),
    icon("chevron"),
  );
  const details = h("details", { class: "entry" }, summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(
      h(
        "dl",
        { class: "facts" },
        row("Outcome", outcomeSentence(record)),
        row("Time", exactTime(record.at)),
        row("Actor", record.actor ?? "none"),
        record.callSite && row("Call site", record.callSite),
        row("Call", h("code", null, record.call)),
        items.map((item) =>
          row(
            item.operation,
            item.thread && h("a", { href: link("threads", item.thread) }, item.thread),
            (item.messages ?? []).map((id) => [" ", h("code", null, id)]),
            item.revision !== undefined && ` r${item.revision}`,
          ),
        ),
        record.omitted > 0 && row("Omitted", count(record.omitted)),
        record.content && row("Hash of the content", h("code", { class: "hash" }, record.content)),
        row("Hash of the entry", h("code", { class: "hash" }, hash)),
        row("Hash before it", h("code", { class: "hash" }, previous)),
      ),
    );
  });
  return h("div", { role: "listitem" }, details);
}
