import assert from "node:assert/strict";
import { test } from "node:test";

import { expectData, ProblemError } from "../src/index.js";
import { add, client, newThread, TOKEN, URL_OF_SERVER, texts } from "./server.js";

const problem = (status: number, code: string, effect: string) =>
  new Response(JSON.stringify({ type: "", title: "", status, detail: "as stated", code, effect, site: "test" }), {
    status,
    headers: { "content-type": "application/problem+json" },
  });

test("calls are typed by the document, and a problem is an exception", async () => {
  const throughline = client();
  const thread = newThread();
  const added = expectData(await add(throughline, thread, "hello"));
  assert.equal(added.seq, 1);
  assert.deepEqual(await texts(throughline, thread), ["hello"]);
  const summary = expectData(await throughline.GET("/v1/threads/{thread}", { params: { path: { thread } } }));
  assert.equal(summary.messages, 1);
  const absent = await throughline.GET("/v1/threads/{thread}", { params: { path: { thread: newThread() } } });
  assert.throws(
    () => expectData(absent),
    (error: unknown) => error instanceof ProblemError && error.code === "not_found" && error.problem.status === 404,
  );
});

test("a token can be a function, and a wrong one is refused", async () => {
  const wrong = await client({ token: () => Promise.resolve("wrong") }).GET("/v1/threads");
  assert.equal(wrong.response.status, 401);
  const right = await client({ token: () => TOKEN, baseUrl: `${URL_OF_SERVER}/` }).GET("/v1/threads");
  assert.equal(right.response.status, 200);
});

test("a write whose answers are lost is repeated with its key, and applied once", async () => {
  const keys: (string | null)[] = [];
  const throughline = client({
    fetch: async (request) => {
      const isWrite = request.method !== "GET";
      const response = await fetch(request);
      if (isWrite) {
        keys.push(request.headers.get("idempotency-key"));
        if (keys.length % 3 !== 0) {
          await response.arrayBuffer();
          throw new TypeError("the answer was lost");
        }
      }
      return response;
    },
  });
  const thread = newThread();
  for (const text of ["a", "b", "c"]) {
    const answer = await add(throughline, thread, text);
    assert.equal(answer.response.status, 200);
    assert.equal(answer.response.headers.get("idempotency-replayed"), "true");
  }
  assert.deepEqual(await texts(throughline, thread), ["a", "b", "c"]);
  assert.equal(keys.length, 9);
  assert.ok(keys.every((key) => key !== null));
  assert.equal(new Set(keys).size, 3);
});

test("a key of the caller is kept", async () => {
  const throughline = client();
  const thread = newThread();
  const send = () =>
    throughline.POST("/v1/threads/{thread}/messages", {
      params: { path: { thread }, header: { "Idempotency-Key": "turn-1" } },
      body: { role: "user", text: "once" },
    });
  assert.deepEqual([(await send()).response.status, (await send()).response.status], [201, 200]);
  assert.deepEqual(await texts(throughline, thread), ["once"]);
});

test("a problem is repeated only if that can help and cannot apply twice", async () => {
  for (const [code, effect, attempts] of [
    ["unavailable", "notApplied", 4],
    ["busy", "notApplied", 4],
    ["timeout", "unknown", 4],
    ["conflict", "notApplied", 1],
    ["corrupt", "notApplied", 1],
    ["timeout", "applied", 1],
  ] as const) {
    const keys = new Set<string | null>();
    let count = 0;
    const throughline = client({
      fetch: (request) => {
        count += 1;
        keys.add(request.headers.get("idempotency-key"));
        return Promise.resolve(problem(503, code, effect));
      },
    });
    const answer = await add(throughline, "t", "x");
    assert.deepEqual([count, keys.size, answer.response.status], [attempts, 1, 503], `${code} ${effect}`);
    assert.throws(() => expectData(answer), ProblemError);
  }
});

test("a request ends with its signal, also between two attempts", async () => {
  const controller = new AbortController();
  const throughline = client({
    pause: 60_000,
    fetch: () => {
      setImmediate(() => controller.abort(new Error("enough")));
      return Promise.resolve(problem(503, "unavailable", "notApplied"));
    },
  });
  await assert.rejects(throughline.GET("/v1/threads", { signal: controller.signal }), /enough/);
});
