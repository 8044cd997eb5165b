import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff, retryAfter } from "../src/backoff.js";
import { newKey } from "../src/key.js";
import { client } from "./server.js";

test("pauses double with each failure, and a connection that worked resets them", () => {
  const failed = { hadEvent: false, lasted: 0 };
  const backoff = new Backoff();
  const pauses = (count: number) => Array.from({ length: count }, () => backoff.after(failed, 100));
  assert.deepEqual(pauses(4), [100, 200, 400, 800]);
  assert.equal(backoff.after({ hadEvent: true, lasted: 0 }, 100), 100, "after an event");
  assert.deepEqual(pauses(2), [200, 400]);
  assert.equal(backoff.after({ hadEvent: false, lasted: 60_000 }, 100), 100, "after comments only");
  assert.deepEqual(pauses(1), [200]);
  assert.equal(backoff.after({ hadEvent: false, lasted: 100 }, 100), 400, "a connection that was closed at once");
  assert.deepEqual(pauses(9).slice(-3), [30_000, 30_000, 30_000]);
  assert.equal(new Backoff().after(failed), 2000, "without a pause of the server");
});

test("a Retry-After is seconds or a date, and anything else is ignored", () => {
  const now = Date.UTC(2026, 0, 5, 12, 0, 0);
  for (const [header, expected] of [
    [null, 0],
    ["0", 0],
    ["3", 3000],
    [" 120 ", 120_000],
    ["Mon, 05 Jan 2026 12:00:07 GMT", 7000],
    ["Mon, 05 Jan 2026 11:00:00 GMT", 0],
    ["Mon, 35 Jan 2026 12:00:07 GMT", 0],
    ["", 0],
    ["soon", 0],
    ["-1", 0],
    ["3 seconds", 0],
    ["room 2099", 0],
  ] as const) {
    assert.equal(retryAfter(header, now), expected, `${header}`);
  }
});

test("a Retry-After that is a date far ahead ends the attempts, and one that cannot be read keeps the pause", async () => {
  for (const [header, attempts] of [["Fri, 31 Dec 2999 23:59:59 GMT", 1], ["whenever", 2]] as const) {
    const times: number[] = [];
    const throughline = client({
      attempts: 2,
      pause: 100,
      fetch: () => {
        times.push(performance.now());
        return Promise.resolve(new Response(null, { status: 503, headers: { "retry-after": header } }));
      },
    });
    await throughline.GET("/v1/threads");
    assert.equal(times.length, attempts, header);
    // The pause is at least half of 100 ms.
    if (attempts === 2) assert.ok((times[1] ?? 0) - (times[0] ?? 0) > 45);
  }
});

test("a key is a random UUID, also without `crypto.randomUUID`", () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const keys = new Set([newKey()]);
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    for (let count = 0; count < 100; count += 1) keys.add(newKey());
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
  assert.equal(typeof crypto.randomUUID, "function");
  assert.equal(keys.size, 101);
  for (const key of keys) assert.match(key, uuid);
});
