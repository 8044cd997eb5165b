// The health of the server and of its store, in words.

import { h, icon, fill, iconButton } from "./dom.js";
import { read, text } from "./api.js";
import { count, compact, duration, plural, time } from "./format.js";
import { parseMetrics, single, routesOf, quantile } from "./prometheus.js";
import { loading } from "./states.js";

const EVERY = 5000;

export class HealthView {
  #closed = new AbortController();
  #timer = 0;

  constructor() {
    this.state = h("div", { "aria-live": "polite" }, loading(2));
    this.metrics = h("div");
    this.element = h(
      "section",
      { class: "plain-view", "aria-labelledby": "health-title" },
      h("header", { class: "view-head" }, h("h1", { id: "health-title" }, "Health"), iconButton("refresh", "Refresh", () => this.refresh())),
      this.state,
      this.metrics,
    );
    this.refresh();
  }

  async refresh() {
    clearTimeout(this.#timer);
    if (!document.hidden) await Promise.all([this.#readState(), this.#readMetrics()]);
    if (!this.#closed.signal.aborted) this.#timer = setTimeout(() => this.refresh(), EVERY);
  }

  async #readState() {
    const { signal } = this.#closed;
    let state;
    try {
      const { conditions } = await read("readyz", { signal });
      state = conditions.length > 0
        ? { kind: "warn", title: "Ready, with conditions", detail: "The store answers. It reports what needs attention.", conditions }
        : { kind: "good", title: "Ready", detail: "The store answers reads, and accepts writes.", conditions };
    } catch (problem) {
      if (signal.aborted) return;
      state = problem.status
        ? { kind: "bad", title: "Not ready", detail: problem.message, conditions: [] }
        : { kind: "bad", title: "The server does not answer", detail: "The page asks again every 5 seconds.", conditions: [] };
    }
    const key = JSON.stringify(state);
    if (this.state.dataset.key !== key) {
      this.state.dataset.key = key;
      fill(
        this.state,
        h(
          "div",
          { class: `hero ${state.kind}` },
          h("span", { class: "hero-mark" }, icon(state.kind === "good" ? "check" : "warn")),
          h("div", null, h("p", { class: "hero-title" }, state.title), h("p", null, state.detail)),
          h("p", { class: "checked hint" }),
        ),
        state.conditions.length > 0 && h("ul", { class: "conditions" }, state.conditions.map((one) => h("li", null, one))),
      );
    }
    fill(this.state.querySelector(".checked"), "Checked ", time(Date.now() * 1000));
  }

  async #readMetrics() {
    const { signal } = this.#closed;
    let samples;
    try {
      samples = parseMetrics(await text("metrics", { signal }));
    } catch (problem) {
      if (signal.aborted || problem.status === 0) return;
      const isDenied = problem.status === 403;
      fill(this.metrics, h("p", { class: "notice" }, isDenied ? "Only an operator can read the metrics of this server." : problem.message));
      return;
    }
    const routes = routesOf(samples);
    const sum = (name) => routes.reduce((total, row) => total + row[name], 0);
    const [requests, failures, refusals] = [sum("requests"), sum("failures"), sum("refusals")];
    const open = single(samples, "throughline_http_streams_open") ?? 0;
    const opened = single(samples, "throughline_http_streams_total") ?? 0;
    const cut = single(samples, "throughline_http_streams_cut_total") ?? 0;
    const mean = sum("count") > 0 ? sum("sum") / sum("count") : null;
    const card = (title, value, sentence, kind = "") =>
      h("div", { class: `card ${kind}` }, h("p", { class: "card-title" }, title), h("p", { class: "card-value" }, value), h("p", { class: "hint" }, sentence));
    const focused = this.metrics.contains(document.activeElement);
    fill(
      this.metrics,
      h(
        "div",
        { class: "cards" },
        card("Requests", compact(requests), mean === null ? "None since the start." : `Since the start, ${duration(mean)} on average.`),
        card("Failures", compact(failures), failures === 0 ? "No request failed in the server." : `${plural(failures, "request")} failed in the server.`, failures > 0 ? "bad" : ""),
        card("Refusals", compact(refusals), refusals === 0 ? "No request was refused." : `${plural(refusals, "request")} had a wrong argument, key, token or address.`),
        card("Open streams", compact(open), `${plural(opened, "stream")} since the start. ${cut === 0 ? "None was cut." : `${plural(cut, "stream")} cut: the reader was too slow.`}`),
      ),
      h("h2", null, "Routes"),
      h(
        "div",
        { class: "table-scroller", tabindex: "0", role: "group", "aria-label": "Routes" },
        h(
          "table",
          null,
          h("thead", null, h("tr", null, ["Route", "Requests", "Refused", "Failed", "Open", "Half within", "99 % within"].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", null, routes.map(routeRow)),
        ),
      ),
    );
    if (focused) this.metrics.querySelector("[tabindex]").focus();
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }
}

function routeRow(row) {
  const within = (part) => {
    const bound = quantile(row, part);
    return bound === undefined ? (row.count > 0 ? "over 30 s" : "–") : bound === Infinity ? "over 30 s" : duration(bound);
  };
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, h("code", null, row.route)),
    h("td", null, count(row.requests)),
    h("td", null, count(row.refusals)),
    h("td", { class: row.failures > 0 ? "bad" : "" }, count(row.failures)),
    h("td", null, count(row.inFlight)),
    h("td", null, within(0.5)),
    h("td", null, within(0.99)),
  );
}
