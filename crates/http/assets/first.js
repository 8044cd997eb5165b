// Applies the chosen colors before the first paint. It is no module, because a module would run after it.
"use strict";
try {
  const theme = localStorage.getItem("throughline.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the page has the colors of the system.
}
