// Empty, loading and error states, the same in every view.

import { h, icon } from "./dom.js";

export function empty(title, detail, ...more) {
  return h("div", { class: "state" }, h("p", { class: "state-title" }, title), detail && h("p", null, detail), more);
}

/** Returns placeholder rows. */
export function loading(rows, label = "Loading") {
  return h(
    "div",
    { class: "skeletons", role: "status", "aria-label": label },
    Array.from({ length: rows }, () => h("div", { class: "skeleton", "aria-hidden": "true" }, h("i"), h("i"), h("i"))),
  );
}

/** Returns a problem in words, with a button to try again. */
export function failed(problem, retry) {
  const title = problem.title || "The page could not be loaded";
  const detail = problem.detail && problem.detail !== title ? problem.detail : null;
  return h(
    "div",
    { class: "state bad", role: "alert" },
    icon("warn"),
    h("p", { class: "state-title" }, title),
    detail && h("p", null, detail),
    problem.code && h("p", { class: "code" }, problem.status ? `${problem.status} ${problem.code}` : problem.code),
    retry && h("button", { type: "button", on: { click: retry } }, "Try again"),
  );
}
