// The keyboard: one table of keys, which also is the text of the help.

import { h, icon, iconButton } from "./dom.js";

const bindings = [];

/** Adds a key. `when` says whether it applies now; `run` does it. */
export function bind(keys, label, run, when = () => true) {
  bindings.push({ keys: [keys].flat(), label, run, when });
}

function isTyping(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

let pending = "";
let pendingSince = 0;

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) return;
  const sequence = Date.now() - pendingSince < 1000 && pending ? `${pending} ${event.key}` : event.key;
  const found =
    bindings.find((binding) => binding.keys.includes(sequence) && binding.when()) ??
    bindings.find((binding) => binding.keys.includes(event.key) && binding.when());
  pending = "";
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (bindings.some((binding) => binding.keys.some((key) => key.startsWith(`${event.key} `)))) {
    [pending, pendingSince] = [event.key, Date.now()];
  }
});

/** Shows the keys. */
export function showHelp() {
  if (document.querySelector("dialog.help")) return;
  const row = ({ keys, label }) =>
    h(
      "div",
      { class: "key-row" },
      h("dt", null, label),
      h("dd", null, keys.map((key, at) => [at > 0 && h("span", { class: "or" }, "or"), key.split(" ").map((one) => h("kbd", null, NAMES[one] ?? one))])),
    );
  const close = iconButton("close", "Close", () => dialog.close(), { autofocus: true });
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h("header", null, h("h2", { id: "help-title" }, "Keyboard"), close),
    h("dl", null, bindings.filter((binding) => binding.label).map(row)),
    h("p", { class: "hint" }, icon("help"), "This page only reads. It cannot change the store."),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", Enter: "↵" };
