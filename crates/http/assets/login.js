// The dialog that asks for a bearer token. The token stays in the storage of this tab, until the tab is closed.

import { h, fill } from "./dom.js";

const KEY = "throughline.token";
let asking = null;

/** Returns a token that differs from the refused one. Several requests share one dialog. */
export function signIn(refused) {
  const stored = sessionStorage.getItem(KEY);
  if (stored && stored !== refused) return Promise.resolve(stored);
  sessionStorage.removeItem(KEY);
  asking ??= ask(Boolean(refused)).finally(() => (asking = null));
  return asking;
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Forgets the token, and everything that was read with it. */
export function signOut() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

function ask(wasRefused) {
  return new Promise((resolve) => {
    const field = h("input", {
      id: "token",
      type: "password",
      autocomplete: "current-password",
      spellcheck: "false",
      required: true,
      "aria-describedby": "token-hint",
    });
    const hint = h("p", { id: "token-hint", class: "hint", role: wasRefused ? "alert" : null });
    fill(
      hint,
      wasRefused
        ? "The server does not accept this token. Check that it is complete and has not expired."
        : "The token stays in this tab, and is gone when you close the tab.",
    );
    if (wasRefused) hint.classList.add("bad");
    const form = h(
      "form",
      null,
      h("h2", { id: "login-title" }, "This server needs a token"),
      h("label", { for: "token" }, "Bearer token"),
      field,
      hint,
      h("button", { type: "submit", class: "primary" }, "Open"),
    );
    const dialog = h("dialog", { class: "login", "aria-labelledby": "login-title" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = field.value.trim();
      if (!token) return;
      sessionStorage.setItem(KEY, token);
      dialog.close();
      dialog.remove();
      document.getElementById("leave").hidden = false;
      resolve(token);
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}
