// Times, sizes and counts for people.

import { h } from "./dom.js";

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "long" });
const day = new Intl.DateTimeFormat("en", { year: "numeric", month: "short", day: "numeric" });
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const UNITS = [["minute", 60], ["hour", 3600], ["day", 86400]];

function since(date, now) {
  const seconds = (date - now) / 1000;
  const away = Math.abs(seconds);
  if (away < 45) return seconds > 5 ? "in some seconds" : "just now";
  if (away > 14 * 86400) return day.format(date);
  const [unit, size] = [...UNITS].reverse().find(([, size]) => away >= size * 0.75) ?? UNITS[0];
  return relative.format(Math.round(seconds / size), unit);
}

/** Returns an element with the time as a distance from now, and exact on hover. `micros` counts from 1970. */
export function time(micros) {
  const date = new Date(micros / 1000);
  if (Number.isNaN(date.getTime())) return h("span", null, `${micros} µs`);
  const element = h("time", { datetime: date.toISOString(), "data-ms": date.getTime() }, since(date, Date.now()));
  element.title = `${exact.format(date)}\n${date.toISOString()}`;
  return element;
}

/** Returns the exact time. */
export function exactTime(micros) {
  const date = new Date(micros / 1000);
  return Number.isNaN(date.getTime()) ? `${micros} µs` : date.toISOString().replace("T", " ").replace("Z", " UTC");
}

setInterval(() => {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-ms]")) {
    const text = since(new Date(Number(element.dataset.ms)), now);
    if (element.textContent !== text) element.textContent = text;
  }
}, 20_000);

export function count(number) {
  return whole.format(number);
}

export function compact(number) {
  return number < 10_000 ? whole.format(number) : short.format(number);
}

/** Returns a count with its noun. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function bytes(number) {
  if (number < 1000) return plural(number, "byte");
  const units = ["kB", "MB", "GB", "TB"];
  let [value, at] = [number / 1000, 0];
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** Returns a duration in seconds for people. */
export function duration(seconds) {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}
