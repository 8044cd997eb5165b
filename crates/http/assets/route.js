// The view and its settings in the fragment of the address, so that a reload and a link keep them.

const changed = [];

/** Returns the current route: `#/view/id?name=value`. */
export function current() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const view = ["threads", "health", "audit"].includes(parts[0]) ? parts[0] : "threads";
  return { view, id: parts[0] === view && parts[1] ? parts[1] : null, query: new URLSearchParams(query) };
}

/** Returns the fragment of a route. Settings without a value are left out. */
export function link(view, id = null, query = {}) {
  const settings = query instanceof URLSearchParams ? query : new URLSearchParams();
  if (!(query instanceof URLSearchParams)) {
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") settings.append(name, one);
    }
  }
  const text = settings.toString();
  return `#/${view}${id === null ? "" : `/${encodeURIComponent(id)}`}${text ? `?${text}` : ""}`;
}

/** Opens a route. */
export function go(hash) {
  if (location.hash === hash) return;
  location.hash = hash;
}

/** Changes the address without a new view and without a step in the history. */
export function replace(hash) {
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

export function onChange(listener) {
  changed.push(listener);
}

addEventListener("hashchange", () => changed.forEach((listener) => listener(current())));
