import { randomUUID } from "node:crypto";

import { createThroughline, type Throughline, type ThroughlineOptions } from "../src/index.js";

/** The server of the tests: an example of the repository. */
export const URL_OF_SERVER = process.env["THROUGHLINE_URL"] ?? "http://127.0.0.1:8080";
export const TOKEN = process.env["THROUGHLINE_TOKEN"] ?? "secret";

/** Returns a client of the server, with short pauses. */
export function client(options: Partial<ThroughlineOptions> = {}): Throughline {
  return createThroughline({ baseUrl: URL_OF_SERVER, token: TOKEN, pause: 5, ...options });
}

/** Returns the id of a thread that no other test uses. */
export function newThread(): string {
  return `test:${randomUUID()}`;
}

/** Adds a message with this text. */
export async function add(to: Throughline, thread: string, text: string) {
  return to.POST("/v1/threads/{thread}/messages", {
    params: { path: { thread } },
    body: { role: "user", text },
  });
}

/** Returns the texts of a thread, in order. */
export async function texts(of: Throughline, thread: string): Promise<string[]> {
  const { data } = await of.GET("/v1/threads/{thread}/messages", { params: { path: { thread } } });
  return (data?.messages ?? []).map((message) => (message.content[0] as { text: string }).text);
}
