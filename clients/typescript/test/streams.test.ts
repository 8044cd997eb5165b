import assert from "node:assert/strict";
import { test } from "node:test";

import { expectData, ProblemError } from "../src/index.js";
import { readEvents } from "../src/events.js";
import { Proxy } from "./proxy.js";
import { add, client, newThread, URL_OF_SERVER } from "./server.js";

test("events are read across the boundaries of their parts", async () => {
  const text = "retry: 50\nid: 1\n\n: keep-alive\nid: 2\n\nid: 3\nevent: change\ndata: {\"a\":\ndata: \"é\"}\n\nid: 4\ndata: cut";
  for (const size of [1, 2, 7, 1000]) {
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const state: { id?: string; retry?: number } = {};
    const events = [];
    for await (const event of readEvents(body, state)) events.push(event);
    assert.deepEqual(events, [{ id: "3", event: "change", data: '{"a":\n"é"}' }]);
    assert.deepEqual(state, { id: "3", retry: 50 }, "an event that was cut does not move the cursor");
  }
});

test("a stream of changes resumes after each lost connection, without a gap and without a repetition", async () => {
  const proxy = await Proxy.to(new URL(URL_OF_SERVER));
  const controller = new AbortController();
  try {
    const writer = client();
    const reader = client({ baseUrl: proxy.url });
    const thread = newThread();
    const seen: (string | undefined)[] = [];
    const sent: string[] = [];
    const write = async () => {
      for (let at = 0; at < 10; at += 1) sent.push(expectData(await add(writer, thread, `${at}`)).id);
    };
    await write();
    for await (const change of reader.changes({ after: 0, thread, signal: controller.signal })) {
      const kind = change.kind as { added?: { id: string } };
      if (kind.added) seen.push(kind.added.id);
      if (seen.length === 5 || seen.length === 15) assert.ok(proxy.cut() > 0);
      if (seen.length === 10) await write();
      if (seen.length === 20) break;
    }
    assert.deepEqual(seen, sent);
  } finally {
    controller.abort();
    proxy.close();
  }
});

test("a stream that cannot begin throws its problem", async () => {
  const changes = client().changes({ after: "nowhere" });
  await assert.rejects(changes.next(), (error: unknown) => error instanceof ProblemError && error.code === "invalid");
  const foreign = client({ token: "wrong" }).changes({ after: 0 });
  await assert.rejects(foreign.next(), (error: unknown) => error instanceof ProblemError && error.problem.status === 401);
});

test("a stream ends with its signal", async () => {
  const controller = new AbortController();
  const thread = newThread();
  const throughline = client();
  await add(throughline, thread, "x");
  const changes = throughline.changes({ after: 0, thread, signal: controller.signal });
  assert.equal((await changes.next()).done, false);
  const next = changes.next();
  controller.abort(new Error("enough"));
  await assert.rejects(next, /enough/);
});

test("a streamed reply arrives byte for byte over connections that are cut", async () => {
  const proxy = await Proxy.to(new URL(URL_OF_SERVER));
  const controller = new AbortController();
  try {
    const thread = newThread();
    const writer = client();
    const draft = expectData(
      await writer.POST("/v1/threads/{thread}/drafts", { params: { path: { thread } }, body: {} }),
    );
    const path = { thread, message: draft.id };
    let number = 0;
    const append = async () => {
      number += 1;
      const body = { number, text: `${number} é, ` };
      expectData(await writer.POST("/v1/threads/{thread}/drafts/{message}/append", { params: { path }, body }));
    };
    await append();

    let text = "";
    let cuts = 0;
    let isFinished = false;
    const events = client({ baseUrl: proxy.url }).threadEvents(thread, { after: 0, signal: controller.signal });
    for await (const { event, data } of events) {
      if (event === "replaced") text = "";
      if (event === "replaced" || event === "delta") {
        for (const part of data.parts) text += "text" in part ? part.text : "";
        if (isFinished) continue;
        if (number % 4 === 0) cuts += proxy.cut() > 0 ? 1 : 0;
        if (number < 20) {
          await append();
        } else {
          expectData(await writer.POST("/v1/threads/{thread}/drafts/{message}/finish", { params: { path } }));
          isFinished = true;
        }
      }
      if (event === "finished") break;
    }
    const message = expectData(
      await writer.GET("/v1/threads/{thread}/messages/{message}", { params: { path } }),
    );
    assert.equal(cuts, 5);
    assert.deepEqual(message.content, [{ type: "text", text }]);
    assert.equal(text, Array.from({ length: 20 }, (_, at) => `${at + 1} é, `).join(""));
  } finally {
    controller.abort();
    proxy.close();
  }
});
