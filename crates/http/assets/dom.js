// Elements from data. Data becomes text nodes and attributes, and never markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z",
  system: "M2 3h12v8H2zM6 14h4M8 11v3",
  help: "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM6.2 6.2a1.9 1.9 0 1 1 2.6 2c-.5.2-.8.6-.8 1.1v.3M8 11.6v.1",
  leave: "M6 2H3v12h3M10 5l3 3-3 3M13 8H6",
  back: "M10 3 5 8l5 5",
  down: "M8 3v10M4 9l4 4 4-4",
  up: "M8 13V3M4 7l4-4 4 4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  more: "M3 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M7.5 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M12 8a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0",
  tool: "M2.5 13.5 7 9M9.5 2.6a3.6 3.6 0 0 0-2.8 4.7l2 2a3.6 3.6 0 0 0 4.7-2.8L11.2 8.7 9 7l-.7-2.2Z",
  result: "M3 3v6h9M9 6l3 3-3 3",
  picture: "M2 3h12v10H2zM2 11l3.5-3.5 3 3 2-2L14 12M10.5 6h.01",
  file: "M4 1.500h5l3 3v10H4zM9 1.500v3h3",
  thought: "M8 2a4.5 4.5 0 0 0-2.5 8.200V12h5v-1.800A4.5 4.5 0 0 0 8 2ZM6 14h4",
  chevron: "M6 4l4 4-4 4",
  close: "M4 4l8 8M12 4l-8 8",
  refresh: "M13.5 8A5.5 5.5 0 1 1 11.7 4M12 1.500V4.500H9",
  warn: "M8 2 1.5 13.500h13ZM8 6.500v3.500M8 12v.01",
};

/** Returns an element. `props` has attributes, and listeners as `on: {event: function}`. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "href" && !String(value).startsWith("#/")) {
      throw new Error("a link of this page stays on this page");
    } else if (name.startsWith("on") || name === "style" || name === "src") {
      throw new Error(`no attribute ${name}`);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Returns an icon, which a screen reader skips. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "glyph");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Gives a button an icon and a name. */
export function nameButton(button, glyph, label) {
  fill(button, icon(glyph));
  button.setAttribute("aria-label", label);
  button.title = label;
}

/** Returns a button with an icon and a name. */
export function iconButton(glyph, label, click, props = {}) {
  const button = h("button", { type: "button", class: "icon", ...props, on: { click } });
  nameButton(button, glyph, label);
  return button;
}

/** Says a sentence to a screen reader, after the sentence before. */
export function announce(text) {
  const region = document.getElementById("announce");
  const line = h("p", null, text);
  region.append(line);
  while (region.childElementCount > 3) region.firstElementChild.remove();
}

/** Copies text, and shows on the button that it did. */
export async function copyFrom(button, text) {
  const label = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(text);
    nameButton(button, "check", "Copied");
    announce("Copied");
  } catch {
    nameButton(button, "warn", "The browser does not allow copying");
  }
  setTimeout(() => nameButton(button, "copy", label), 1500);
}
