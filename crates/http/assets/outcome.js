// The outcome of a call in the audit log, in words.

import { h } from "./dom.js";
import { plural } from "./format.js";

const words = (name) => String(name).replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

/** Returns the name of the outcome, and its values. */
export function outcomeParts({ outcome }) {
  const [name, value] = typeof outcome === "string" ? [outcome, {}] : (Object.entries(outcome ?? {})[0] ?? ["unknown", {}]);
  return { name, value: value ?? {} };
}

/** Returns the outcome as a sentence. */
export function outcomeSentence(record) {
  const { name, value } = outcomeParts(record);
  const times = value.times > 1 ? `, ${value.times} times` : "";
  switch (name) {
    case "applied":
      return value.after === value.position ? "The store applied the call. Nothing changed." : `The store applied the call, as ${positions(value)}.`;
    case "failed":
      return `The call failed in ${value.site} with ${words(value.kind)}${times}. Effect: ${words(value.effect)}.`;
    case "elsewhere":
      return `Another store or a layer answered the call${times}.`;
    case "lost":
      return `${plural(value.calls, "call")} have no entry of their own.`;
    default:
      return name;
  }
}

function positions({ after, position }) {
  return position === after + 1 ? `position ${position}` : `positions ${after + 1} to ${position}`;
}

/** Returns the outcome as a badge. */
export function outcomeOf(record) {
  const { name, value } = outcomeParts(record);
  const kind = { applied: "good", failed: "bad", lost: "bad" }[name] ?? "";
  const text = name === "failed" ? `failed · ${words(value.kind)}` : words(name);
  return h("span", { class: `badge ${kind}`, title: outcomeSentence(record) }, text);
}
