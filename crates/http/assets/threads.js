// The list of threads, with its search, its filters and its changes as they happen.

import { h, icon, fill } from "./dom.js";
import { path, read, readPage, persistently } from "./api.js";
import { subscribe } from "./events.js";
import { time, compact } from "./format.js";
import { link, current, go, replace } from "./route.js";
import { labelChips } from "./thread.js";
import { empty, loading, failed } from "./states.js";
import { search } from "./search.js";
import { linkState } from "./link.js";

const PAGE = 50;
/** The most threads that are read one by one after changes. For more, the first page is read again. */
const SINGLY = 8;
/** The begin of a text that filters by a label. */
const LABEL = "label:";

export class ThreadList {
  #threads = new Map();
  #rows = new Map();
  #next = null;
  #filter = null;
  #reading = null;
  #searching = null;
  #stream = null;
  #dirty = new Set();
  #timer = 0;
  #typing = 0;

  constructor() {
    this.field = h("input", {
      type: "search",
      placeholder: "Search, or label:name=value",
      "aria-label": "Search threads and messages",
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "search",
      on: { input: () => this.#typed(), keydown: (event) => this.#fieldKey(event) },
    });
    this.filters = h("div", { class: "filters" });
    this.list = h("div", { class: "thread-list", role: "list", "aria-label": "Threads", on: { click: (event) => this.#clicked(event) } });
    this.foot = h("div", { class: "list-foot" });
    this.scroller = h("div", { class: "list-scroller" }, this.list, this.foot);
    this.element = h(
      "section",
      { class: "threads", "aria-label": "Threads" },
      h("div", { class: "list-head" }, h("label", { class: "search" }, icon("search"), this.field, h("kbd", { "aria-hidden": "true" }, "/")), this.filters),
      this.scroller,
    );
    this.more = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#readMore(), { root: this.scroller, rootMargin: "400px" });
    this.more.observe(this.foot);
  }

  /** Shows this route. The list is read again if its filter changed. */
  show({ id, query }) {
    this.selected = id;
    const archived = query.get("archived") ?? "false";
    const labels = query.getAll("label").filter((label) => label.includes("="));
    const text = query.get("q") ?? "";
    const filter = JSON.stringify([archived, labels, text]);
    if (this.field.value.trim() !== text) this.field.value = text;
    if (filter !== this.#filter) {
      this.#filter = filter;
      Object.assign(this, { archived, labels, text });
      this.#showFilters();
      if (text) this.#search();
      else this.#read();
    }
    this.#mark();
  }

  #settings(changes = {}) {
    const { archived, labels, text } = { ...this, ...changes };
    return { q: text, label: labels, archived: archived === "false" ? "" : archived };
  }

  #showFilters() {
    const choice = (value, name) =>
      h("a", { href: link("threads", null, this.#settings({ archived: value })), "aria-current": this.archived === value ? "true" : null }, name);
    fill(
      this.filters,
      h("div", { class: "segments", role: "group", "aria-label": "Which threads" }, choice("false", "Active"), choice("true", "Archived"), choice("any", "All")),
      this.labels.map((label) => {
        const [name, ...value] = label.split("=");
        const without = this.#settings({ labels: this.labels.filter((other) => other !== label) });
        return h(
          "a",
          { class: "label active", href: link("threads", null, without), "aria-label": `Remove the filter ${label}` },
          h("span", { class: "label-name" }, name),
          h("span", { class: "label-value" }, value.join("=")),
          icon("close"),
        );
      }),
    );
  }

  get #query() {
    const labels = this.labels.map((label) => {
      const at = label.indexOf("=");
      return [`labels[${label.slice(0, at)}]`, label.slice(at + 1)];
    });
    return { archived: this.archived, ...Object.fromEntries(labels) };
  }

  #begin() {
    this.#reading?.abort();
    this.#searching?.abort();
    this.#stream?.close();
    linkState("list", null);
    this.#reading = new AbortController();
    return this.#reading.signal;
  }

  async #read() {
    const signal = this.#begin();
    this.#threads.clear();
    this.#rows.clear();
    this.#next = null;
    fill(this.foot);
    fill(this.list, loading(8, "Loading the threads"));
    try {
      const page = await persistently(() => readPage(read, "v1/threads", { query: this.#query, signal }, PAGE), signal);
      fill(this.list);
      this.#take(page);
      this.#follow(page.position);
    } catch (problem) {
      if (!signal.aborted) fill(this.list, failed(problem, () => this.#read()));
    }
  }

  async #readMore() {
    const { signal } = this.#reading ?? {};
    if (!this.#next || this.text || !signal || signal.aborted) return;
    const after = this.#next;
    this.#next = null;
    fill(this.foot, h("p", { class: "hint", role: "status" }, "Loading more…"));
    try {
      this.#take(await persistently(() => readPage(read, "v1/threads", { query: { ...this.#query, after }, signal }, PAGE), signal));
    } catch (problem) {
      if (signal.aborted) return;
      this.#next = after;
      fill(this.foot, h("button", { type: "button", on: { click: () => this.#readMore() } }, "Load more"));
    }
  }

  #take(page) {
    for (const thread of page.threads) this.#threads.set(thread.thread, thread);
    this.#next = page.next;
    this.#draw();
    if (this.#next) {
      fill(this.foot, h("button", { type: "button", on: { click: () => this.#readMore() } }, "Load more"));
      // The observer reports changes only: the end of a short page can stay visible.
      this.more.unobserve(this.foot);
      this.more.observe(this.foot);
    } else fill(this.foot, page.damaged.length > 0 && h("p", { class: "hint bad" }, `The store cannot read ${page.damaged.length} threads.`));
  }

  #draw() {
    const threads = [...this.#threads.values()].sort((a, b) => b.activeAt - a.activeAt || (a.thread < b.thread ? 1 : -1));
    if (threads.length === 0) {
      this.#rows.clear();
      const isFiltered = this.labels.length > 0 || this.archived === "true";
      return fill(
        this.list,
        isFiltered
          ? empty("No thread matches", "Remove a filter to see more.")
          : empty("No threads yet", "A thread shows here with its first complete message."),
      );
    }
    if (this.#rows.size === 0) fill(this.list);
    let previous = null;
    for (const thread of threads) {
      const row = this.#row(thread);
      const next = previous ? previous.nextSibling : this.list.firstChild;
      if (row !== next) {
        const hadFocus = row.contains(document.activeElement);
        this.list.insertBefore(row, next);
        if (hadFocus) row.firstElementChild.focus({ preventScroll: true });
      }
      previous = row;
    }
    while (previous.nextSibling) previous.nextSibling.remove();
    return this.#mark();
  }

  #row(thread) {
    const signature = JSON.stringify(thread);
    let known = this.#rows.get(thread.thread);
    if (!known) {
      known = { element: h("div", { role: "listitem" }), signature: "" };
      this.#rows.set(thread.thread, known);
    }
    if (known.signature !== signature) {
      const hadFocus = known.element.contains(document.activeElement);
      known.signature = signature;
      fill(known.element, rowOf(thread, link("threads", thread.thread, this.#settings())));
      if (hadFocus) known.element.firstElementChild.focus({ preventScroll: true });
    }
    return known.element;
  }

  #mark() {
    for (const row of this.list.querySelectorAll("a.row")) {
      const isSelected = row.dataset.thread === this.selected && !row.dataset.seq;
      if (isSelected) row.setAttribute("aria-current", "page");
      else row.removeAttribute("aria-current");
    }
  }

  #follow(position) {
    this.#stream = subscribe("v1/changes", {
      after: position,
      onEvent: ({ event, data }) => event === "change" && this.#changed(JSON.parse(data)),
      onLink: (state) => linkState("list", state),
      onEnd: (problem) => problem.code === "too_old" && this.#read(),
    });
  }

  #changed({ thread, kind }) {
    if (kind === "threadDeleted") this.#threads.delete(thread);
    this.#dirty.add(thread);
    this.#timer ||= setTimeout(() => this.#refresh(), 400);
  }

  async #refresh() {
    const ids = [...this.#dirty];
    this.#dirty.clear();
    const { signal } = this.#reading;
    try {
      if (ids.length > SINGLY) {
        const page = await readPage(read, "v1/threads", { query: this.#query, signal }, PAGE);
        for (const thread of page.threads) this.#threads.set(thread.thread, thread);
      } else await Promise.all(ids.map((id) => this.#readOne(id, signal)));
      if (!signal.aborted) this.#draw();
    } catch {
      ids.forEach((id) => this.#dirty.add(id));
    }
    setTimeout(() => {
      this.#timer = 0;
      if (this.#dirty.size > 0 && !signal.aborted) this.#timer = setTimeout(() => this.#refresh(), 400);
    }, 600);
  }

  async #readOne(id, signal) {
    try {
      const thread = await read(`v1/threads/${path(id)}`, { signal });
      if (this.#matches(thread)) this.#threads.set(id, thread);
      else this.#threads.delete(id);
    } catch (problem) {
      if (problem.status !== 404 && problem.status !== 410) throw problem;
      this.#threads.delete(id);
    }
  }

  #matches(thread) {
    const isWanted = this.archived === "any" || String(thread.archived) === this.archived;
    const labels = thread.labels ?? {};
    const hasLabels = this.labels.every((label) => {
      const at = label.indexOf("=");
      return labels[label.slice(0, at)] === label.slice(at + 1);
    });
    return isWanted && hasLabels && thread.listed;
  }

  async #search() {
    const signal = this.#begin();
    fill(this.foot);
    fill(this.list, loading(5, "Searching"));
    const known = [...this.#threads.values()];
    this.#rows.clear();
    const results = await search(this.text, { known, signal, settings: this.#settings() });
    if (!signal.aborted) {
      fill(this.list, results);
      this.#mark();
    }
  }

  /** A click on a label of a row filters by it. */
  #clicked(event) {
    const label = event.target.closest(".label[data-label]")?.dataset.label;
    if (label === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#filterBy(label);
  }

  #filterBy(label) {
    const nameOf = (text) => text.slice(0, text.indexOf("="));
    const labels = [...this.labels.filter((other) => nameOf(other) !== nameOf(label)), label];
    go(link("threads", current().id, this.#settings({ labels, text: "" })));
  }

  #typed() {
    clearTimeout(this.#typing);
    if (this.field.value.trim().startsWith(LABEL)) return;
    this.#typing = setTimeout(() => {
      const { id } = current();
      const hash = link("threads", id, this.#settings({ text: this.field.value.trim() }));
      replace(hash);
      this.show(current());
    }, 220);
  }

  #fieldKey(event) {
    if (event.key === "Escape") {
      if (this.field.value) {
        this.field.value = "";
        this.#typed();
      } else this.field.blur();
      event.preventDefault();
    } else if (event.key === "Enter" && this.field.value.trim().startsWith(LABEL)) {
      const label = this.field.value.trim().slice(LABEL.length);
      if (label.includes("=")) this.#filterBy(label);
      event.preventDefault();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      if (this.step(1)) event.preventDefault();
    }
  }

  focusSearch() {
    this.field.focus();
    this.field.select();
  }

  /** Moves the focus to the next or the previous row. */
  step(direction) {
    const rows = [...this.list.querySelectorAll("a.row")];
    const at = rows.indexOf(document.activeElement);
    const selected = rows.findIndex((row) => row.getAttribute("aria-current"));
    const next = at >= 0 ? rows[at + direction] : (rows[selected] ?? rows[0]);
    if (!next) return false;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  }

  close() {
    this.#begin();
    this.#reading.abort();
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#dirty.clear();
    this.#filter = null;
  }
}

function rowOf(thread, href) {
  const labels = Object.entries(thread.labels ?? {});
  const isUntitled = thread.title === "Untitled";
  return h(
    "a",
    { class: "row", href, "data-thread": thread.thread },
    h("span", { class: "row-top" }, h("span", { class: `row-title ${isUntitled ? "quiet" : ""}` }, isUntitled ? thread.thread : thread.title), time(thread.activeAt)),
    thread.preview && h("span", { class: "row-preview" }, thread.preview),
    h(
      "span",
      { class: "row-meta" },
      h("span", null, `${compact(thread.messages)} ${thread.messages === 1 ? "message" : "messages"}`),
      thread.archived && h("span", { class: "badge" }, "Archived"),
      labelChips(Object.fromEntries(labels.slice(0, 3))),
      labels.length > 3 && h("span", null, `+${labels.length - 3}`),
    ),
  );
}

