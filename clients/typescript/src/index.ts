/**
 * A typed client of the HTTP interface of Throughline.
 *
 * ```ts
 * const client = createThroughline({ baseUrl: "http://127.0.0.1:8080", token });
 * const page = expectData(await client.GET("/v1/threads/{thread}/messages", { params: { path: { thread: "trip" } } }));
 * for await (const change of client.changes({ after: page.position })) console.log(change);
 * ```
 */
import createClient, { type Client } from "openapi-fetch";

import { retryingFetch, type RetryOptions } from "./retry.js";
import { expectData } from "./problem.js";
import type { components, operations, paths } from "./schema.js";
import { resumedEvents, type StreamOptions } from "./stream.js";

export { expectData, ProblemError, type Problem } from "./problem.js";
export type { RetryOptions } from "./retry.js";
export type { StreamOptions } from "./stream.js";
export type { components, paths } from "./schema.js";

/** A change event: ids and positions, without content. */
export type Change = components["schemas"]["Change"];

type ThreadEvents = Required<components["schemas"]["ThreadEvent"]>;

/** An event of the stream of a thread. Its `id` is the cursor to resume after it, and its `event` names the type of its `data`. */
export type ThreadEvent = {
  [Name in keyof ThreadEvents]: { id: string; event: Name; data: NonNullable<ThreadEvents[Name]> };
}[keyof ThreadEvents];

/** A page of found messages. Only a page without `next` is the last one. */
export type FoundPage = components["schemas"]["FoundPage"];

/** The optional arguments of a find. */
export interface FindOptions extends Omit<NonNullable<operations["findMessages"]["parameters"]["query"]>, "metadata"> {
  /** The order of the messages and of the pages. The default is `newestFirst`. */
  order?: "newestFirst" | "oldestFirst";
  /** The states of the messages. The default is `final`; `settled` adds abandoned ones, and `all` also open ones. */
  visibility?: "final" | "settled" | "all";
  /** Ends the request. */
  signal?: AbortSignal;
}

/** The settings of a client. */
export interface ThroughlineOptions extends RetryOptions {
  /** The URL of the server, with the prefix under which the host mounts the router. */
  baseUrl: string;
  /** The bearer token, or a function that returns the current one. Without one, the requests have no `Authorization`. */
  token?: string | (() => string | Promise<string>);
  /** A `fetch` of the host. The default is the global one. */
  fetch?: (request: Request) => Promise<Response>;
}

/** A client: typed calls, and streams that resume by themselves. */
export interface Throughline extends Client<paths> {
  /**
   * Finds a page of the messages with this value of a metadata field that the host has declared as indexed. `1` is not `"1"`.
   *
   * It throws a `ProblemError` after a refusal, and a `RangeError` for a number that is no safe integer.
   */
  find(name: string, value: string | number | bigint | boolean, options?: FindOptions): Promise<FoundPage>;
  /** Returns the changes of the tenant, or of one thread, after a position. The stream has no end of its own. */
  changes(options: StreamOptions & { thread?: string }): AsyncGenerator<Change, never, undefined>;
  /** Returns the events of one thread after a cursor, with content: messages, deltas of open ones, deletions. */
  threadEvents(thread: string, options: StreamOptions): AsyncGenerator<ThreadEvent, never, undefined>;
}

/** Returns a client of a server. */
export function createThroughline(options: ThroughlineOptions): Throughline {
  const { baseUrl, token, fetch: inner = (request: Request) => fetch(request) } = options;
  const base = baseUrl.replace(/\/+$/, "");
  const authorized = async (request: Request) => {
    const current = typeof token === "function" ? await token() : token;
    if (current !== undefined) request.headers.set("authorization", `Bearer ${current}`);
    return inner(request);
  };
  const client = createClient<paths>({ baseUrl: base, fetch: retryingFetch(authorized, options) });

  const find = async (
    name: string,
    value: string | number | bigint | boolean,
    options: FindOptions = {},
  ): Promise<FoundPage> => {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new RangeError(`the value of ${JSON.stringify(name)} is no safe integer: ${value}`);
    }
    const { signal, ...query } = options;
    const json = typeof value === "string" ? JSON.stringify(value) : String(value);
    const metadata = { [name]: json };
    const params = { query: { ...query, metadata } };
    return expectData(await client.GET("/v1/messages", { params, signal: signal ?? null }));
  };

  const open = (path: string, query: Record<string, string>) => {
    const search = new URLSearchParams(query);
    return (lastEventId: string, signal: AbortSignal) => {
      // The server prefers the header, which a repetition changes.
      const headers = { accept: "text/event-stream", "last-event-id": lastEventId };
      const target = search.size > 0 ? `${base}${path}?${search}` : `${base}${path}`;
      return authorized(new Request(target, { headers, signal }));
    };
  };

  async function* changes(
    options: StreamOptions & { thread?: string },
  ): AsyncGenerator<Change, never, undefined> {
    const query: Record<string, string> = options.thread === undefined ? {} : { thread: options.thread };
    for await (const event of resumedEvents(open("/v1/changes", query), options)) {
      yield JSON.parse(event.data) as Change;
    }
    throw new Error("a stream has no end");
  }

  async function* threadEvents(
    thread: string,
    options: StreamOptions,
  ): AsyncGenerator<ThreadEvent, never, undefined> {
    const path = `/v1/threads/${encodeURIComponent(thread)}/stream`;
    for await (const event of resumedEvents(open(path, {}), options)) {
      yield { id: event.id, event: event.event, data: JSON.parse(event.data) as unknown } as ThreadEvent;
    }
    throw new Error("a stream has no end");
  }

  return Object.assign(client, { find, changes, threadEvents });
}
