// A thread: its summary, its history in a window, and its changes as they happen.

import { h, icon, iconButton, fill, announce, copyFrom } from "./dom.js";
import { path, read, persistently } from "./api.js";
import { subscribe } from "./events.js";
import { time, count, bytes, plural, exactTime } from "./format.js";
import { History } from "./history.js";
import { MessageWindow } from "./window.js";
import { isOpen } from "./open.js";
import { Speech } from "./speech.js";
import { empty, loading, failed } from "./states.js";
import { link, replace, current } from "./route.js";
import { linkState } from "./link.js";

export class ThreadPane {
  #closed = new AbortController();
  #stream = null;
  #summaryTimer = 0;
  #moveTimer = 0;
  #speech = new Speech();
  #seen = 0;

  constructor(id) {
    this.id = id;
    this.head = h("header", { class: "thread-head" });
    this.body = h("div", { class: "thread-body" }, loading(6, "Loading the thread"));
    this.element = h("section", { class: "thread", tabindex: "-1", "aria-label": "Thread" }, this.head, this.body);
    this.#showHead(null);
    this.start(Number(current().query.get("at")) || null);
  }

  async start(at) {
    const { signal } = this.#closed;
    try {
      const route = `v1/threads/${path(this.id)}`;
      this.summary = await persistently(() => read(route, { signal }), signal);
      if (signal.aborted) return;
      this.#showHead(this.summary);
      this.history?.close();
      this.history = new History(this.id, (what) => this.#changed(what));
      await persistently(() => this.history.open(), signal);
    } catch (problem) {
      if (!signal.aborted) this.#showProblem(problem);
      return;
    }
    if (signal.aborted) return;
    this.#showWindow(at);
    this.#follow();
  }

  #showWindow(at) {
    this.window?.close();
    const { history } = this;
    this.window = new MessageWindow(history, {
      onMove: (seq) => this.#moved(seq),
      onPinned: (isPinned) => this.#pinned(isPinned),
    });
    this.#seen = history.last;
    const toEnd = h("button", { type: "button", class: "pill", on: { click: () => this.toEnd() } });
    this.pill = toEnd;
    fill(this.body, this.window.element, h("div", { class: "pill-holder" }, toEnd));
    this.#pinned(true);
    if (history.count === 0) {
      this.none = empty("No messages yet", "This thread has no message. New ones show here at once.");
      this.body.append(this.none);
    }
    this.window.open(at);
    this.#pinned(this.window.isPinned);
    if (document.activeElement === this.element) this.focus();
  }

  /** The stream begins at the position of the loaded page, so that no change is lost between the two. */
  #follow() {
    this.#stream?.close();
    this.#stream = subscribe(`v1/threads/${path(this.id)}/stream`, {
      after: this.history.position,
      onEvent: ({ event, data }) => this.history.receive(event, data),
      onLink: (state) => linkState("thread", state),
      onEnd: (problem) => {
        if (problem.code === "too_old") this.start(this.#at());
        else if (problem.status === 404 || problem.status === 410) this.#changed("gone");
      },
    });
  }

  #at() {
    return Number(current().query.get("at")) || null;
  }

  #changed(what) {
    if (what === "gone") {
      this.#stream?.close();
      linkState("thread", null);
      return fill(this.body, empty("The thread was deleted", "The store keeps no message of it."));
    }
    if (what === "reset") {
      this.#stream?.close();
      return this.start(null);
    }
    if (what === "summary") return this.#readSummary();
    if (what === "grown") {
      this.none?.remove();
      this.#readSummary();
    }
    this.window?.changed(what);
    if (this.window) this.#pinned(this.window.isPinned);
    if (typeof what === "number") this.#speak(what);
    return undefined;
  }

  #speak(chunk) {
    if (chunk !== this.history.count - 1) return;
    const last = this.history.chunk(chunk)?.messages.at(-1);
    const view = last && this.window?.viewOf(last.seq);
    if (view && last.role === "assistant") this.#speech.hear(last.id, () => view.text(), !isOpen(last));
  }

  #readSummary() {
    if (this.#summaryTimer) return;
    this.#summaryTimer = setTimeout(async () => {
      this.#summaryTimer = 0;
      const { signal } = this.#closed;
      try {
        this.summary = await read(`v1/threads/${path(this.id)}`, { signal });
        this.#showHead(this.summary);
      } catch {
        // The next change reads it again.
      }
    }, 1000);
  }

  #showHead(summary) {
    const open = this.head.querySelector("details")?.open ?? false;
    const back = h("a", { class: "icon back", href: this.#listLink(), "aria-label": "Back to the threads" }, icon("back"));
    const title = summary?.title ?? this.id;
    document.title = `${title} · Throughline`;
    const copy = iconButton("copy", "Copy the id", () => copyFrom(copy, this.id));
    fill(
      this.head,
      h("div", { class: "thread-title" }, back, h("h1", null, title), summary?.archived && h("span", { class: "badge" }, "Archived"), summary && !summary.listed && h("span", { class: "badge" }, "Hidden")),
      h("p", { class: "thread-facts" }, h("code", { class: "ellipsis" }, this.id), copy, summary && factsOf(summary), summary && this.#labelLinks(summary.labels ?? {})),
      summary && more(summary, open),
    );
  }

  /** A label of the thread opens the list of all threads with it. */
  #labelLinks(labels) {
    const { archived } = Object.fromEntries(current().query);
    return labelChips(labels).map((chip) =>
      h("a", { class: "label-link", href: link("threads", this.id, { archived, label: chip.dataset.label }), "aria-label": `Threads with the label ${chip.dataset.label}` }, chip),
    );
  }

  #listLink() {
    const { query } = current();
    query.delete("at");
    return link("threads", null, query);
  }

  #showProblem(problem) {
    const isMissing = problem.status === 404 || problem.status === 410;
    if (isMissing) {
      fill(this.body, empty(problem.status === 410 ? "The thread was deleted" : "There is no such thread", "It may have been deleted, or the address is wrong."));
    } else {
      fill(this.body, failed(problem, () => this.start(null)));
    }
  }

  #moved(seq) {
    clearTimeout(this.#moveTimer);
    this.#moveTimer = setTimeout(() => {
      const { view, id, query } = current();
      if (view !== "threads" || id !== this.id) return;
      if (seq === null) query.delete("at");
      else query.set("at", seq);
      replace(link("threads", id, query));
    }, 300);
  }

  #pinned(isPinned) {
    if (isPinned) this.#seen = this.history.last;
    const fresh = this.history.last - this.#seen;
    this.pill.hidden = isPinned;
    fill(this.pill, icon("down"), fresh > 0 ? `${plural(fresh, "new message")}` : "Latest");
    this.pill.classList.toggle("fresh", fresh > 0);
  }

  toEnd() {
    this.window?.jumpToEnd();
    this.focus();
    announce("The end of the thread");
  }

  toStart() {
    this.window?.jumpToStart();
    this.focus();
    announce("The start of the thread");
  }

  focus() {
    (this.window?.element ?? this.element).focus({ preventScroll: true });
  }

  get hasFocus() {
    return this.element.contains(document.activeElement);
  }

  /** Shows the messages from this sequence number on. */
  jump(seq) {
    this.window?.jump(seq);
  }

  close() {
    this.#closed.abort();
    this.#stream?.close();
    this.history?.close();
    this.window?.close();
    clearTimeout(this.#summaryTimer);
    clearTimeout(this.#moveTimer);
    linkState("thread", null);
  }
}

function factsOf(summary) {
  return [
    h("span", null, plural(summary.messages, "message")),
    h("span", null, bytes(summary.bytes)),
    h("span", null, "active ", time(summary.activeAt)),
  ];
}

export function labelChips(labels) {
  return Object.entries(labels).map(([name, value]) =>
    h("span", { class: "label", "data-label": `${name}=${value}`, title: `${name}: ${value}` }, h("span", { class: "label-name" }, name), value && h("span", { class: "label-value" }, value)),
  );
}

function more(summary, isOpen) {
  const row = (name, ...value) => [h("dt", null, name), h("dd", null, value)];
  const { forkedFrom, owner, metadata } = summary;
  return h(
    "details",
    { class: "thread-more", open: isOpen },
    h("summary", null, icon("chevron"), "Details"),
    h(
      "dl",
      { class: "facts" },
      row("Tenant", summary.tenant),
      owner && row("Owner", owner),
      row("Created", exactTime(summary.createdAt)),
      row("Active", exactTime(summary.activeAt)),
      row("Turns", count(summary.turns)),
      row("Last sequence number", count(summary.lastSeq)),
      row("Generation", summary.generation),
      forkedFrom && row("Forked from", h("a", { href: link("threads", forkedFrom.thread) }, forkedFrom.thread)),
    ),
    metadata && Object.keys(metadata).length > 0 && [h("h4", null, "Metadata"), h("pre", { class: "json" }, JSON.stringify(metadata, null, 2))],
  );
}

