// The switch between the colors of the system, light and dark.

import { nameButton, announce } from "./dom.js";

const KEY = "throughline.theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const GLYPHS = { system: "system", light: "sun", dark: "moon" };

function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

function show(button) {
  nameButton(button, GLYPHS[chosen()], `Colors: ${chosen()}. Change to ${NEXT[chosen()]}`);
}

/** Changes to the next colors. */
export function cycle() {
  const theme = NEXT[chosen()];
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Without storage, the choice lasts until the page is closed.
  }
  show(document.getElementById("theme"));
  announce(`Colors: ${theme}`);
}

export function setUp() {
  const button = document.getElementById("theme");
  button.addEventListener("click", cycle);
  show(button);
}
