import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { createThroughline } from "../src/index.js";

/** A server whose n-th connection is answered by the n-th function. It records the cursors of the requests. */
async function serving(answers: ((response: ServerResponse) => void)[]) {
  const cursors: (string | undefined)[] = [];
  const closed: Promise<void>[] = [];
  const server = createServer((request, response) => {
    cursors.push(request.headers["last-event-id"] as string | undefined);
    closed.push(new Promise((resolve) => response.on("close", () => resolve())));
    answers[cursors.length - 1]?.(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { client: createThroughline({ baseUrl }), cursors, closed, close };
}

const begin = (response: ServerResponse) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("retry: 10\n\n");
};
const send = (response: ServerResponse, id: number) => response.write(`id: ${id}\ndata: {"position":${id}}\n\n`);

test("a stream leaves a connection that became silent, and resumes after the last event", async () => {
  const { client, cursors, closed, close } = await serving([
    // The first connection has no answer at all, and the second one stops after an event.
    () => undefined,
    (response) => {
      begin(response);
      send(response, 1);
    },
    (response) => {
      begin(response);
      send(response, 2);
    },
  ]);
  try {
    const seen = [];
    for await (const change of client.changes({ after: 0, idleTimeout: 300 })) {
      seen.push(change.position);
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, [1, 2]);
    assert.deepEqual(cursors, ["0", "0", "1"]);
    await Promise.all(closed);
  } finally {
    close();
  }
});

test("comments keep a stream open, and so does a slow reader", async () => {
  const idleTimeout = 400;
  const { client, cursors, close } = await serving([
    (response) => {
      begin(response);
      send(response, 1);
      let comments = 0;
      const timer = setInterval(() => {
        comments += 1;
        response.write(": keep-alive\n\n");
        if (comments < 60) return;
        clearInterval(timer);
        send(response, 2);
      }, 20);
    },
  ]);
  try {
    const seen = [];
    for await (const change of client.changes({ after: 0, idleTimeout })) {
      seen.push(change.position);
      if (seen.length === 2) break;
      await pause(1.5 * idleTimeout);
    }
    assert.deepEqual(seen, [1, 2]);
    assert.deepEqual(cursors, ["0"], "one connection only");
  } finally {
    close();
  }
});

test("a signal ends a silent stream with its reason", async () => {
  const { client, close } = await serving([begin]);
  const controller = new AbortController();
  try {
    const next = client.changes({ after: 0, signal: controller.signal }).next();
    setImmediate(() => controller.abort(new Error("enough")));
    await assert.rejects(next, /enough/);
  } finally {
    close();
  }
});
