import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { type FindOptions, ProblemError, type Throughline } from "../src/index.js";
import { client, newThread } from "./server.js";

/** The field that the server of the tests has declared as indexed. */
const FIELD = "orderId";

/** Adds messages with these values, and returns their ids. */
async function addAll(to: Throughline, thread: string, values: unknown[]): Promise<string[]> {
  const ids: string[] = [];
  for (const value of values) {
    const body = { role: "user" as const, text: "x", metadata: { [FIELD]: value } };
    const { data } = await to.POST("/v1/threads/{thread}/messages", { params: { path: { thread } }, body });
    ids.push(data?.id ?? "");
  }
  return ids;
}

test("a find returns the messages with the value, and the value has its type", async () => {
  const throughline = client();
  const thread = newThread();
  const text = `order "${randomUUID()}" & more`;
  const [first, , second, asText, asNumber, one, flag] = await addAll(throughline, thread, [
    text,
    "another order",
    text,
    "17",
    17,
    1,
    true,
  ]);
  const ids = async (value: string | number | bigint | boolean, options: FindOptions = { thread }) =>
    (await throughline.find(FIELD, value, options)).messages.map((message) => message.id);
  assert.deepEqual(await ids(text, {}), [second, first]);
  assert.deepEqual(await ids(text, { thread, order: "oldestFirst" }), [first, second]);
  assert.deepEqual(await ids("17"), [asText]);
  assert.deepEqual(await ids(17), [asNumber]);
  assert.deepEqual(await ids(1n), [one]);
  assert.deepEqual(await ids(true), [flag]);
  assert.deepEqual(await ids(false), []);
  assert.deepEqual(await ids(text, { thread: newThread() }), []);
});

test("the pages of a find show each message once", async () => {
  const throughline = client();
  const thread = newThread();
  const value = randomUUID();
  const added = await addAll(throughline, thread, [value, value, value, value, value]);
  const pages: string[][] = [];
  let page = await throughline.find(FIELD, value, { limit: 2, order: "oldestFirst" });
  for (;;) {
    pages.push(page.messages.map((message) => message.id));
    assert.deepEqual(page.damaged, []);
    if (page.next === undefined) break;
    page = await throughline.find(FIELD, value, { limit: 2, order: "oldestFirst", after: page.next });
  }
  assert.deepEqual(pages, [added.slice(0, 2), added.slice(2, 4), added.slice(4)]);
});

test("a find by another field, and by a number that is not exact, is refused", async () => {
  const throughline = client();
  await assert.rejects(
    throughline.find("color", "red"),
    (error: unknown) =>
      error instanceof ProblemError &&
      error.code === "unsupported" &&
      error.problem.status === 501 &&
      error.problem.detail.includes("`color`"),
  );
  await assert.rejects(throughline.find(FIELD, 1.5), RangeError);
  await assert.rejects(throughline.find(FIELD, 2 ** 53), /"orderId" is no safe integer: 9007199254740992/);
});

test("a find ends with its signal", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client().find(FIELD, "x", { signal }), /enough/);
});
