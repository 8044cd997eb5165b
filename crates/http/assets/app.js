// The page: one view for each route, and the keys.

import { h, fill, nameButton } from "./dom.js";
import { current, onChange, go, link } from "./route.js";
import { bind, showHelp } from "./keys.js";
import { cycle, setUp as setUpTheme } from "./theme.js";
import { hasToken, signOut } from "./login.js";
import { ThreadList } from "./threads.js";
import { ThreadPane } from "./thread.js";
import { HealthView } from "./health.js";
import { AuditView } from "./audit.js";
import { empty } from "./states.js";

const main = document.getElementById("main");
const list = new ThreadList();
const panes = h("div", { class: "panes" });
const detail = h("div", { class: "detail" });
panes.append(list.element, detail);

let pane = null;
let view = null;
let shown = null;

function show(route) {
  for (const tab of document.querySelectorAll(".views a")) {
    if (tab.dataset.view === route.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (route.view === "threads") return showThreads(route);
  const key = JSON.stringify([route.view, route.query.get("thread")]);
  if (shown === key) return undefined;
  leave();
  shown = key;
  document.title = `${route.view === "health" ? "Health" : "Audit log"} · Throughline`;
  view = route.view === "health" ? new HealthView() : new AuditView(route);
  fill(main, view.element);
  return undefined;
}

function leave() {
  view?.close();
  pane?.close();
  if (shown === "threads") list.close();
  [view, pane] = [null, null];
}

function showThreads(route) {
  if (shown !== "threads") {
    leave();
    shown = "threads";
    fill(main, panes);
    showNone();
  }
  list.show(route);
  panes.classList.toggle("has-thread", route.id !== null);
  if (route.id === null) {
    if (pane) {
      pane.close();
      pane = null;
      showNone();
    }
    document.title = "Threads · Throughline";
    return;
  }
  const at = Number(route.query.get("at")) || null;
  if (pane?.id === route.id) {
    if (at !== null) pane.jump(at);
    return;
  }
  pane?.close();
  pane = new ThreadPane(route.id);
  fill(detail, pane.element);
}

function showNone() {
  fill(
    detail,
    empty(
      "Open a thread",
      "Choose one from the list to read its messages as they are written.",
      h("p", { class: "hint" }, h("kbd", null, "j"), " ", h("kbd", null, "k"), " move, ", h("kbd", null, "/"), " searches, ", h("kbd", null, "?"), " shows all keys"),
    ),
  );
}

const inThreads = () => shown === "threads";
const inThread = () => inThreads() && pane !== null;

function step(direction) {
  if (inThread() && pane.hasFocus) pane.window?.step(direction);
  else if (inThreads()) list.step(direction);
  else stepRows(direction);
}

function stepRows(direction) {
  const rows = [...main.querySelectorAll(".entry > summary")];
  rows[rows.indexOf(document.activeElement) + direction]?.focus();
}

bind(["j", "ArrowDown"], "Next thread or message", () => step(1));
bind(["k", "ArrowUp"], "Previous thread or message", () => step(-1));
bind("Enter", "Open the thread", () => {
  const row = document.activeElement;
  go(row.getAttribute("href"));
  show(current());
  pane?.focus();
}, () => inThreads() && document.activeElement?.matches("a.row"));
bind(["o", "l"], "Go to the messages", () => pane.focus(), inThread);
bind(["Escape", "h"], "Go back to the list", () => (pane?.hasFocus ? list.step(0) || list.focusSearch() : go(link("threads"))), inThreads);
bind("/", "Search", () => (inThreads() ? list.focusSearch() : view?.focusSearch?.()));
bind("d", "Details of the message", () => pane.window?.toggleDetails(), () => inThread() && pane.hasFocus);
bind(["Home", "g g"], "Start of the thread", () => pane.toStart(), inThread);
bind(["End", "G"], "End of the thread", () => pane.toEnd(), inThread);
bind("g t", "Threads", () => go(link("threads")));
bind("g h", "Health", () => go(link("health")));
bind("g a", "Audit log", () => go(link("audit")));
bind("r", "Refresh", () => view?.refresh?.(), () => view !== null);
bind("t", "Change the colors", cycle);
bind("?", "Show the keys", showHelp);

setUpTheme();
const help = document.getElementById("help");
nameButton(help, "help", "Keyboard");
help.addEventListener("click", showHelp);
const leaveButton = document.getElementById("leave");
nameButton(leaveButton, "leave", "Forget the token");
leaveButton.addEventListener("click", signOut);
leaveButton.hidden = !hasToken();
document.getElementById("skip").addEventListener("click", () => (pane ? pane.focus() : main.focus()));
onChange(show);
show(current());
