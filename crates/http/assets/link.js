// Whether the page gets changes as they happen, for people.

import { fill, h } from "./dom.js";

const streams = new Map();
const WORDS = { live: "Live", connecting: "Reconnecting…", paused: "Paused", off: "Not live" };

/** A stream has this state; null for a stream that was closed. */
export function linkState(stream, state) {
  if (state === null) streams.delete(stream);
  else streams.set(stream, state);
  const states = [...streams.values()];
  const worst = ["off", "connecting", "paused", "live"].find((one) => states.includes(one));
  const element = document.getElementById("link");
  element.hidden = worst === undefined;
  if (worst === undefined || element.dataset.state === worst) return;
  element.dataset.state = worst;
  fill(element, h("i", { "aria-hidden": "true" }), h("span", null, WORDS[worst]));
}
