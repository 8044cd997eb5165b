// The text of a block. Marks of Markdown get a style, and stay in the text: `textContent` is the stored text, character for
// character. Text can grow at its end, for a price that depends on what is appended.

import { h } from "./dom.js";

const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\bhttps?:\/\/[^\s<>"')\]]+)/;
// Longer lines have no style: they are data, and not prose.
const LONGEST_STYLED = 4000;

export class TextView {
  constructor() {
    this.element = h("div", { class: "text" });
    this.length = 0;
    this.#tail = null;
    this.element.addEventListener("copy", copyExactly);
  }

  #tail;
  #fence = null;

  /** Appends text. */
  append(text) {
    this.length += text.length;
    let from = 0;
    while (from < text.length) {
      const end = text.indexOf("\n", from);
      const to = end < 0 ? text.length : end + 1;
      this.#grow(text.slice(from, to), end >= 0);
      from = to;
    }
  }

  // Adds to the last line. A line gets its style when it is complete.
  #grow(part, isComplete) {
    this.#tail ??= this.#line();
    const node = this.#tail.lastChild;
    if (node) node.appendData(part);
    else this.#tail.append(document.createTextNode(part));
    if (isComplete) {
      const line = this.#tail;
      this.#tail = null;
      this.#complete(line, line.textContent);
    }
  }

  #line() {
    const line = h("div", { class: "line" });
    (this.#fence ?? this.element).append(line);
    return line;
  }

  #complete(line, text) {
    const fence = /^ {0,3}(`{3,}|~{3,})/.exec(text);
    if (this.#fence) {
      if (fence && text.trim() === fence[1]) {
        line.classList.add("code-mark");
        this.#fence = null;
      }
      return;
    }
    if (fence) {
      const block = h("div", { class: "code-block" });
      line.before(block);
      block.append(line);
      line.classList.add("code-mark");
      this.#fence = block;
      return;
    }
    style(line, text);
  }

  /** Styles the last line, when no more text comes. */
  finish() {
    if (this.#tail && !this.#fence) style(this.#tail, this.#tail.textContent);
  }
}

/** Gives a line of prose its style. */
function style(line, text) {
  if (text.trim() === "") return line.classList.add("blank");
  if (text.length > LONGEST_STYLED) return;
  const heading = /^(#{1,4}) /.exec(text);
  if (heading) line.classList.add("heading");
  else if (/^ {0,6}([-*+•]|\d{1,3}[.)]) /.test(text)) line.classList.add("item");
  else if (text.startsWith("> ")) line.classList.add("quote");
  if (!INLINE.test(text)) return;
  const parts = text.split(INLINE).map((part, at) => {
    if (at % 2 === 0) return part;
    const name = part[0] === "`" ? "code" : part[0] === "*" ? "strong" : "span";
    return h(name, name === "span" ? { class: "address" } : null, part);
  });
  line.replaceChildren(...parts);
}

// A browser adds line breaks between the lines. The clipboard gets the stored text.
function copyExactly(event) {
  const selection = getSelection();
  if (selection.rangeCount !== 1 || !event.clipboardData) return;
  const range = selection.getRangeAt(0);
  if (!this.contains(range.commonAncestorContainer)) return;
  event.clipboardData.setData("text/plain", range.cloneContents().textContent);
  event.preventDefault();
}
