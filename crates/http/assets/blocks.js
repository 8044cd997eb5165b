// The blocks of a message: text, thoughts, tool calls and results, files, and any other block as JSON.

import { h, icon, fill } from "./dom.js";
import { pretty, outline, member } from "./json.js";
import { bytes } from "./format.js";
import { TextView } from "./text.js";

// A longer text or JSON shows its begin, and the rest on demand.
const SHOWN = 12_000;
const JSON_LINES = 14;

const TEXTS = new Set(["text", "input_text", "output_text"]);
const FILES = new Set(["image", "input_image", "image_url", "document", "file", "input_file", "audio", "input_audio", "video"]);
const CALLS = new Set(["tool_use", "server_tool_use", "mcp_tool_use", "function_call", "tool_call"]);
const RESULTS = new Set(["tool_result", "web_search_tool_result", "mcp_tool_result", "function_call_output"]);

const string = (value) => (typeof value === "string" ? value : undefined);

/**
 * Returns the view of a block: its JSON as stored, or `{ plain }` with the text of an open reply. `grow(block)` shows a longer
 * text in the same view and returns whether it could; `finish()` says that no more text comes.
 */
export function blockView(block) {
  const text = textOf(block);
  if (text !== undefined) return textBlock(block, text);
  const value = JSON.parse(block);
  const view = { block, element: other(block, value, string(value?.type)), grow: () => false, finish: () => {} };
  view.element.classList.add("block");
  return view;
}

function textOf(block) {
  if (typeof block === "object") return block.plain;
  const value = JSON.parse(block);
  return TEXTS.has(string(value?.type)) ? string(value.text) : undefined;
}

function other(raw, value, type) {
  if (type === "thinking" && string(value.thinking) !== undefined) return thought(value.thinking, "Thought");
  if (type === "redacted_thinking") return fileChip("thought", "Encrypted thought", raw.length);
  if (type === "refusal" && string(value.refusal) !== undefined) return h("div", { class: "refusal" }, plain(value.refusal));
  if (CALLS.has(type)) return call(raw, value);
  if (RESULTS.has(type)) return result(raw, value);
  if (FILES.has(type)) return file(value, type, raw);
  return panel("more", type ? `Block “${type}”` : "Block", null, json(raw), { class: "unknown" });
}

function textBlock(block, text) {
  const view = new TextView();
  const element = h("div", { class: "block" }, view.element);
  let [full, isOpen, button] = [text, true, null];
  const isLong = text.length > SHOWN * 1.25;
  view.append(isLong ? text.slice(0, cutAt(text)) : text);
  if (isLong) {
    const show = () => {
      button.remove();
      button = null;
      view.append(full.slice(view.length));
      if (!isOpen) view.finish();
    };
    button = h("button", { type: "button", class: "rest", on: { click: show } }, `Show all ${bytes(text.length)}`);
    element.append(button);
  }
  return {
    // The text of an open reply grows in the same object.
    block: typeof block === "object" ? null : block,
    element,
    get text() {
      return full;
    },
    /** Shows the text of the same block after an append. */
    grow(next) {
      const text = textOf(next);
      if (text === undefined || !text.startsWith(full)) return false;
      this.block = typeof next === "object" ? null : next;
      if (text.length > full.length) this.append(text.slice(full.length));
      return true;
    },
    append(more) {
      full += more;
      if (!button) view.append(more);
      else fill(button, `Show all ${bytes(full.length)}`);
    },
    finish() {
      isOpen = false;
      if (!button) view.finish();
    },
  };
}

/** Returns the end of the shown part: not inside of a surrogate pair, and at a line break if one is near. */
function cutAt(text) {
  const line = text.lastIndexOf("\n", SHOWN);
  if (line > SHOWN * 0.8) return line + 1;
  const code = text.charCodeAt(SHOWN - 1);
  return code >= 0xd800 && code < 0xdc00 ? SHOWN - 1 : SHOWN;
}

function plain(text) {
  const view = textBlock("", text);
  view.finish();
  return view.element;
}

/** A part that opens and closes. Its content is made when it opens first. */
function panel(glyph, title, hint, content, { class: kind = "", open = false } = {}) {
  const details = h("details", { class: `panel ${kind}`, open });
  const summary = h(
    "summary",
    null,
    icon(glyph),
    h("span", { class: "panel-title" }, title),
    hint && h("span", { class: "panel-hint" }, hint),
    icon("chevron"),
  );
  details.append(summary);
  const fillOnce = () => {
    if (details.open && details.childElementCount === 1) details.append(h("div", { class: "panel-body" }, content()));
  };
  details.addEventListener("toggle", fillOnce);
  fillOnce();
  return details;
}

/** Returns a function that makes the view of a JSON text, with every number and escape as stored. */
export function json(raw) {
  return () => {
    const lines = pretty(raw);
    const element = h("pre", { class: "json", tabindex: "0", "aria-label": "JSON" });
    const show = (all) => fill(element, all || lines.length <= SHOWN * 2 ? lines : `${lines.slice(0, SHOWN)}…`);
    show(false);
    if (lines.length <= SHOWN * 2) return element;
    const button = h("button", { type: "button", class: "rest", on: { click: () => (show(true), button.remove()) } });
    fill(button, `Show all ${bytes(lines.length)}`);
    return [element, button];
  };
}

function rawOf(raw, ...names) {
  const root = outline(raw);
  for (const name of names) {
    const node = member(root, name);
    if (node) return raw.slice(node.start, node.end);
  }
  return undefined;
}

const isShort = (raw) => pretty(raw).split("\n").length <= JSON_LINES && raw.length < 1200;

function call(raw, value) {
  const input = rawOf(raw, "input", "arguments", "parameters");
  const name = string(value.name) ?? string(value.function?.name) ?? "a tool";
  const body = input === undefined ? json(raw) : argumentsView(input);
  return panel("tool", ["Called ", h("b", null, name)], string(value.id) ?? string(value.call_id), body, {
    class: "call",
    open: isShort(input ?? raw),
  });
}

/** Arguments are JSON, or a string that has JSON. */
function argumentsView(input) {
  if (input[0] === '"') {
    const inside = JSON.parse(input);
    try {
      JSON.parse(inside);
      return json(inside);
    } catch {
      return () => plain(inside);
    }
  }
  return json(input);
}

function result(raw, value) {
  const content = value.content ?? value.output;
  const id = string(value.tool_use_id) ?? string(value.call_id);
  const title = value.is_error === true ? "Failed result" : "Result";
  const kind = value.is_error === true ? "result bad" : "result";
  if (string(content) !== undefined) {
    return panel("result", title, id, () => output(content), { class: kind, open: content.length < 800 });
  }
  if (Array.isArray(content)) {
    const name = value.content === undefined ? "output" : "content";
    const list = member(outline(raw), name);
    const inner = () =>
      list.items.map((item) => {
        const view = blockView(raw.slice(item.start, item.end));
        view.finish();
        return view.element;
      });
    return panel("result", title, id, inner, { class: kind, open: raw.length < 1200 });
  }
  return panel("result", title, id, json(raw), { class: kind });
}

/** The output of a tool keeps its columns. */
function output(text) {
  const element = h("pre", { class: "output", tabindex: "0", "aria-label": "Output" });
  fill(element, text.length > SHOWN ? text.slice(0, cutAt(text)) : text);
  if (text.length <= SHOWN) return element;
  const button = h("button", { type: "button", class: "rest", on: { click: () => (fill(element, text), button.remove()) } });
  fill(button, `Show all ${bytes(text.length)}`);
  return [element, button];
}

function thought(text, title) {
  return panel("thought", title, bytes(text.length), () => plain(text), { class: "thought" });
}

function file(value, type, raw) {
  const source = value.source ?? value;
  const kind = string(source.media_type) ?? string(value.mime_type) ?? type.replace("input_", "");
  const data = string(source.data) ?? string(value.image_url?.url) ?? string(value.image_url) ?? string(value.file_data);
  const name = string(value.title) ?? string(value.filename) ?? string(value.name);
  const size = data === undefined ? null : data.startsWith("http") ? "at another server" : bytes(Math.floor(data.length * 0.75));
  const glyph = type.includes("image") ? "picture" : "file";
  return panel(glyph, name ?? (glyph === "picture" ? "Image" : "File"), [kind, size].filter(Boolean).join(" · "), json(raw), {
    class: "file",
  });
}

function fileChip(glyph, title, size) {
  return h("div", { class: "chip" }, icon(glyph), title, h("span", { class: "panel-hint" }, bytes(size)));
}
