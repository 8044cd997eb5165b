// Requests to the router that serves this page. No other server is asked.

import { signIn } from "./login.js";

// The page is at `<prefix>/ui/`, and the routes of the API are at `<prefix>/v1/`.
const base = new URL("../", location.href.split("#")[0]);

/** A refusal or a failure, with the members of the problem document. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", title = "", detail = "", retryAfter = null }) {
    super(detail || title || code);
    Object.assign(this, { status, code, title, detail, retryAfter });
  }
}

const unreachable = () =>
  new Problem({ title: "The server does not answer", detail: "The page tries again by itself." });

/** Returns the path of a route with these ids. */
export function path(...segments) {
  for (const segment of segments) {
    // A browser resolves such a segment before it sends the request, even if it is percent-encoded.
    if (segment === "." || segment === "..") {
      throw new Problem({ code: "no_address", title: "A browser cannot address this id", detail: `The id is “${segment}”.` });
    }
  }
  return segments.map(encodeURIComponent).join("/");
}

async function problemOf(response) {
  let members = {};
  try {
    members = await response.json();
  } catch {
    members.title = `The server answered ${response.status}`;
  }
  const { code = `http_${response.status}`, title, detail, retry_after: retryAfter = null } = members;
  return new Problem({ status: response.status, code, title, detail, retryAfter });
}

/** Sends a request, and asks for a token when the server wants one. */
export async function open(route, { query = {}, headers = {}, signal } = {}) {
  const url = new URL(route, base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
  }
  let token = storedToken();
  for (;;) {
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    let response;
    try {
      response = await fetch(url, {
        headers: { ...headers, ...authorization },
        signal,
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw unreachable();
    }
    if (response.status !== 401) {
      if (response.ok) return response;
      throw await problemOf(response);
    }
    token = await signIn(token);
  }
}

function storedToken() {
  return sessionStorage.getItem("throughline.token");
}

/** Reads JSON. */
export async function read(route, options) {
  const response = await open(route, options);
  try {
    return await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw unreachable();
  }
}

/** Reads text. */
export async function text(route, options) {
  const response = await open(route, options);
  try {
    return await response.text();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw unreachable();
  }
}

/** The most items of one page that the server allows, when it allows fewer than the page wants. */
let most = Infinity;

/** Reads a page of at most `limit` items, or of as many as the server allows. `how` is `read` or `text`. */
export async function readPage(how, route, { query, ...options }, limit) {
  try {
    return await how(route, { ...options, query: { ...query, limit: Math.min(limit, most) } });
  } catch (problem) {
    const bound = problem.status === 400 && /`limit` is not between 1 and (\d+)/.exec(problem.detail);
    if (!bound || Number(bound[1]) >= Math.min(limit, most)) throw problem;
    most = Number(bound[1]);
    return how(route, { ...options, query: { ...query, limit: most } });
  }
}

/** Waits, but not longer than the signal lasts. */
export function wait(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Repeats a read until the server answers. Another problem is thrown. */
export async function persistently(action, signal) {
  for (let pause = 250; ; pause = Math.min(pause * 2, 5000)) {
    try {
      return await action();
    } catch (error) {
      if (signal?.aborted || !isTransient(error)) throw error;
      await wait(error.retryAfter ? error.retryAfter * 1000 : pause, signal);
      if (signal?.aborted) throw error;
    }
  }
}

export function isTransient(error) {
  return error instanceof Problem && [0, 429, 502, 503, 504].includes(error.status);
}
