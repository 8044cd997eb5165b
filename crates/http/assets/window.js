// The part of a history that is in the document. Its size depends on the size of the screen, and not on the thread.
//
// Chunks around the visible part are elements; two spacers have the height of all others. A chunk that was never shown has an
// estimated height. When a height becomes known or changes, the first visible message keeps its distance from the top.

import { h, fill } from "./dom.js";
import { Heights } from "./heights.js";
import { MessageView } from "./message.js";
import { CHUNK } from "./history.js";

/** The most chunks in the document: 8 × 32 messages. */
const MOST = 8;
/** The distance around the visible part that is in the document too, in pixels. */
const AROUND = 900;
/** The estimated height of a chunk, and the height that a browser can scroll. */
const ESTIMATE = CHUNK * 110;
const TALLEST = 12_000_000;

export class MessageWindow {
  #sections = new Map();
  #isPinned = true;
  #anchor = null;
  #expected = 0;
  #isUpdating = false;
  #timer = 0;
  #asked = 0;
  #frame = 0;

  /** `onMove` gets the first visible sequence number, or null at the end of the thread. */
  constructor(history, { onMove, onPinned }) {
    this.history = history;
    this.onMove = onMove;
    this.onPinned = onPinned;
    this.top = h("div", { class: "spacer" });
    this.list = h("div", { class: "messages" });
    this.bottom = h("div", { class: "spacer" });
    this.element = h(
      "div",
      { class: "scroller", tabindex: "0", role: "feed", "aria-label": "Messages", "aria-busy": "true" },
      this.top,
      this.list,
      this.bottom,
    );
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.sizes = new ResizeObserver(() => this.update());
    this.sizes.observe(this.element);
    history.isShown = (at) => this.#sections.has(at);
  }

  /** Shows the history from this sequence number on, or its end. */
  open(seq) {
    const { count } = this.history;
    for (const section of this.#sections.values()) section.element.remove();
    this.#sections.clear();
    this.heights = new Heights(count, Math.max(24, Math.min(ESTIMATE, TALLEST / Math.max(count, 1))));
    if (seq === null) this.jumpToEnd();
    else this.jump(seq);
  }

  close() {
    this.sizes.disconnect();
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  get isPinned() {
    return this.#isPinned;
  }

  #pin(isPinned) {
    if (this.#isPinned === isPinned) return;
    this.#isPinned = isPinned;
    this.onPinned(isPinned);
  }

  jump(seq) {
    this.#leave();
    this.#anchor = { chunk: this.history.chunkOf(seq), seq, offset: 12, within: 0 };
    this.update();
  }

  jumpToStart() {
    this.#leave();
    this.#anchor = { chunk: 0, seq: null, offset: 0, within: 0 };
    this.update();
  }

  #leave() {
    this.#pin(false);
    this.#expected = this.element.scrollTop;
  }

  jumpToEnd() {
    this.#pin(true);
    this.#expected = this.element.scrollTop;
    this.update();
  }

  /** The history has more messages, or a chunk of it changed. */
  changed(at) {
    if (!this.heights) return;
    if (typeof at === "number") {
      const section = this.#sections.get(at);
      if (section) this.#show(at, section);
      else if (this.history.chunk(at)?.isEmpty && at < this.heights.count) this.heights.set(at, 0);
    } else {
      this.heights.grow(this.history.count);
    }
    this.update();
  }

  #scrolled() {
    if (!this.#notice()) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.update());
  }

  /**
   * Takes over a scroll of the user, and returns whether there was one. An update does so too, because it can come before the
   * event of the scroll, and would take the scroll back.
   */
  #notice() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const moved = scrollTop - this.#expected;
    if (Math.abs(moved) < 1) return false;
    const rest = scrollHeight - clientHeight - scrollTop;
    const isLast = this.#sections.has(this.history.count - 1);
    if (isLast && (rest < 2 || (moved > 0 && rest < 24))) this.#pin(true);
    else if (rest >= 2 && (moved < 0 || rest > 24)) this.#pin(false);
    this.#expected = scrollTop;
    this.#capture();
    return true;
  }

  /** Finds the first visible message, which keeps its distance from the top. */
  #capture() {
    const { top: edge, bottom } = this.element.getBoundingClientRect();
    for (const [chunk, section] of this.#ordered()) {
      const around = section.element.getBoundingClientRect();
      if (around.bottom <= edge || around.top >= bottom) continue;
      for (const view of section.views.values()) {
        const box = view.element.getBoundingClientRect();
        if (box.bottom > edge + 1 && box.top < bottom) {
          this.#anchor = { chunk, seq: view.message.seq, offset: box.top - edge, within: 0 };
          return;
        }
      }
    }
    const chunk = this.heights.find(this.element.scrollTop);
    this.#anchor = { chunk, seq: null, offset: 0, within: this.element.scrollTop - this.heights.before(chunk) };
  }

  #ordered() {
    return [...this.#sections].sort(([a], [b]) => a - b);
  }

  /** Puts the chunks around the visible part into the document, and keeps the visible message where it is. */
  update() {
    if (this.#isUpdating || !this.heights) return;
    this.#isUpdating = true;
    this.#notice();
    try {
      for (let round = 0; round < 6; round++) {
        const range = this.#range();
        const isChanged = this.#mount(range) | this.#measure();
        this.#restore();
        if (!isChanged && round > 0) break;
      }
      // A jump into the unknown has found its messages.
      if (!this.#isPinned && this.#anchor?.seq === null && this.#sections.get(this.#anchor.chunk)?.isFilled) this.#capture();
    } finally {
      this.#isUpdating = false;
    }
    this.#request();
    this.#report();
  }

  #range() {
    const { heights, element } = this;
    const height = element.clientHeight;
    const anchor = this.#anchor;
    let top = element.scrollTop;
    if (this.#isPinned) top = heights.total - height;
    else if (anchor && !this.#view(anchor)) top = heights.before(anchor.chunk) + Math.max(0, anchor.within);
    let first = heights.find(Math.max(0, top - AROUND));
    let last = heights.find(Math.max(0, top + height + AROUND));
    const visible = this.#isPinned ? last : heights.find(Math.max(0, top));
    while (last - first + 1 > MOST) {
      if (first < visible - 1) first++;
      else last--;
    }
    return [first, heights.count === 0 ? -1 : last];
  }

  #mount([first, last]) {
    let isChanged = false;
    for (const [at, section] of [...this.#sections]) {
      if (at >= first && at <= last) continue;
      if (section.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
      this.sizes.unobserve(section.element);
      section.element.remove();
      this.#sections.delete(at);
      isChanged = true;
    }
    for (let at = first; at <= last; at++) {
      if (this.#sections.has(at)) continue;
      const section = { element: h("div", { class: "chunk", "data-chunk": at }), views: new Map(), isFilled: false };
      const next = this.#ordered().find(([other]) => other > at);
      this.list.insertBefore(section.element, next?.[1].element ?? null);
      this.#sections.set(at, section);
      this.#show(at, section);
      this.sizes.observe(section.element);
      isChanged = true;
    }
    return isChanged;
  }

  #measure() {
    let isChanged = false;
    for (const [at, section] of this.#sections) {
      if (!section.isFilled) continue;
      const { height } = section.element.getBoundingClientRect();
      if (Math.abs(height - this.heights.get(at)) > 0.5) {
        this.heights.set(at, height);
        isChanged = true;
      }
    }
    const order = this.#ordered();
    const before = order.length ? this.heights.before(order[0][0]) : 0;
    const after = order.length ? this.heights.total - this.heights.before(order.at(-1)[0] + 1) : 0;
    this.top.style.height = `${before}px`;
    this.bottom.style.height = `${Math.max(0, after)}px`;
    return isChanged;
  }

  #view({ chunk, seq }) {
    if (seq === null) return undefined;
    const views = this.#sections.get(chunk)?.views.values();
    return views && [...views].find((view) => view.message.seq >= seq);
  }

  #restore() {
    const { element } = this;
    if (this.#isPinned) {
      element.scrollTop = element.scrollHeight;
    } else if (this.#anchor) {
      const view = this.#view(this.#anchor);
      if (view) {
        const edge = element.getBoundingClientRect().top;
        const off = view.element.getBoundingClientRect().top - edge - this.#anchor.offset;
        if (Math.abs(off) >= 1) element.scrollTop += off;
      } else {
        element.scrollTop = this.heights.before(this.#anchor.chunk) + this.#anchor.within;
      }
    }
    this.#expected = element.scrollTop;
  }

  // A fast scroll passes many chunks. Only those that stay for a moment are read.
  #request() {
    const now = performance.now();
    if (!this.#timer) this.#asked = now;
    else if (now - this.#asked > 250) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      for (const [at] of this.#ordered()) this.history.load(at);
    }, 50);
  }

  /** Shows the messages of a chunk. The view of a message stays, and shows the new version. */
  #show(at, section) {
    const chunk = this.history.chunk(at);
    const { element, views } = section;
    section.isFilled = chunk?.state === "ready";
    element.classList.toggle("pending", !section.isFilled);
    element.style.height = section.isFilled ? "" : `${this.heights.get(at)}px`;
    if (chunk?.state === "failed") {
      fill(element, h("p", { class: "notice", role: "alert" }, chunk.problem.message, " ", h("button", { type: "button", on: { click: () => this.history.load(at) } }, "Try again")));
      views.clear();
      return;
    }
    if (!section.isFilled) return;
    const known = new Map(views);
    views.clear();
    let previous = null;
    for (const node of [...element.children]) if (!node.dataset.seq) node.remove();
    for (const message of chunk.messages) {
      let view = known.get(message.seq);
      if (!view) view = new MessageView(message, this.history.thread);
      else if (view.message !== message) view.update(message);
      known.delete(message.seq);
      views.set(message.seq, view);
      const next = previous ? previous.nextSibling : element.firstChild;
      if (view.element !== next) element.insertBefore(view.element, next);
      previous = view.element;
      view.element.setAttribute("aria-setsize", this.history.last);
    }
    for (const view of known.values()) {
      if (view.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
      view.element.remove();
    }
  }

  #report() {
    const isBusy = [...this.#sections.values()].some((section) => !section.isFilled);
    this.element.setAttribute("aria-busy", String(isBusy));
    if (this.#isPinned || !this.#anchor) this.onMove(this.#isPinned ? null : this.history.first);
    else this.onMove(this.#anchor.seq);
  }

  /** Returns the view of a message in the document. */
  viewOf(seq) {
    return this.#sections.get(this.history.chunkOf(seq))?.views.get(seq);
  }

  /** Moves the focus to the next or the previous message. */
  step(direction) {
    const focused = document.activeElement?.closest?.(".message");
    const all = [...this.list.querySelectorAll(".message")];
    let next;
    if (focused && this.list.contains(focused)) next = all[all.indexOf(focused) + direction];
    else {
      const box = this.element.getBoundingClientRect();
      const visible = all.filter((one) => one.getBoundingClientRect().bottom > box.top + 8 && one.getBoundingClientRect().top < box.bottom - 8);
      next = direction > 0 ? visible[0] : visible.at(-1);
    }
    if (!next) return false;
    next.focus({ preventScroll: true });
    const [box, own] = [this.element.getBoundingClientRect(), next.getBoundingClientRect()];
    if (own.top < box.top + 8 || own.height > box.height) this.element.scrollTop += own.top - box.top - 12;
    else if (own.bottom > box.bottom - 8) this.element.scrollTop += own.bottom - box.bottom + 12;
    return true;
  }

  /** Opens or closes the details of the focused message. */
  toggleDetails() {
    const focused = document.activeElement?.closest?.(".message");
    if (focused) this.viewOf(Number(focused.dataset.seq))?.toggleDetails();
  }
}
