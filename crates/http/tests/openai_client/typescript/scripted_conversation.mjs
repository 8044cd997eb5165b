// Runs a scripted conversation with OpenAI's own client for TypeScript against a server of this crate.
//
// Usage: node scripted_conversation.mjs BASE_URL TOKEN. The client is unmodified: only its base URL, its key and its `fetch` are set.

import assert from "node:assert/strict";

import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);

const text = (item) => item.content[0].text;

// Returns the items of every page, which the client loads by itself.
async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

async function conversations() {
  const client = new OpenAI({ baseURL, apiKey });
  const conversation = await client.conversations.create({
    items: [{ role: "developer", content: "Be brief." }],
    metadata: { topic: "trip" },
  });
  assert.equal(conversation.object, "conversation");
  assert.deepEqual(conversation.metadata, { topic: "trip" });
  assert.deepEqual(await client.conversations.retrieve(conversation.id), conversation);
  const updated = await client.conversations.update(conversation.id, { metadata: { mood: "good" } });
  assert.deepEqual(updated.metadata, { topic: "trip", mood: "good" });

  const added = await client.conversations.items.create(conversation.id, {
    items: [
      { type: "message", role: "user", content: [{ type: "input_text", text: "Where to?" }] },
      { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "sea" }] },
      { type: "function_call", call_id: "call_1", name: "weather", arguments: '{"city":"Lisbon"}' },
      { type: "function_call_output", call_id: "call_1", output: "sunny" },
      { role: "assistant", content: "To the sea.", type: "message" },
    ],
    include: ["reasoning.encrypted_content"],
  });
  assert.equal(added.object, "list");
  const kinds = ["message", "reasoning", "function_call", "function_call_output", "message"];
  assert.deepEqual(added.data.map((item) => item.type), kinds);
  assert.deepEqual([added.first_id, added.last_id, added.has_more], [added.data[0].id, added.data[4].id, false]);
  const call = await client.conversations.items.retrieve(added.data[2].id, { conversation_id: conversation.id });
  assert.deepEqual([call.arguments, call.status], ['{"city":"Lisbon"}', "completed"]);

  // More than one page, in both orders, by the pagination of the client.
  const expected = [];
  for (let batch = 0; batch < 3; batch += 1) {
    const contents = Array.from({ length: 20 }, (_, at) => `${batch}-${at}`);
    const items = contents.map((content) => ({ role: "user", content }));
    await client.conversations.items.create(conversation.id, { items });
    expected.push(...contents);
  }
  const ascending = await all(client.conversations.items.list(conversation.id, { order: "asc", limit: 7 }));
  assert.equal(ascending.length, 66);
  assert.deepEqual(ascending.slice(6).map(text), expected);
  const descending = await all(client.conversations.items.list(conversation.id));
  assert.deepEqual(descending.map((item) => item.id), ascending.map((item) => item.id).reverse());
  const after = { order: "asc", after: ascending[5].id, limit: 1 };
  const page = await client.conversations.items.list(conversation.id, after);
  assert.deepEqual([page.data.map(text), page.has_more], [["0-0"], true]);
  const next = await page.getNextPage();
  assert.deepEqual(next.data.map(text), ["0-1"]);

  const of = { conversation_id: conversation.id };
  assert.equal((await client.conversations.items.delete("rs_1", of)).id, conversation.id);
  await assert.rejects(client.conversations.items.retrieve("rs_1", of), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.deepEqual([error.status, error.code, error.type], [404, "not_found", "invalid_request_error"]);
    return true;
  });
  const deleted = await client.conversations.delete(conversation.id);
  assert.deepEqual(deleted, { id: conversation.id, deleted: true, object: "conversation.deleted" });
  await assert.rejects(client.conversations.retrieve(conversation.id), NotFoundError);
}

async function errors() {
  await assert.rejects(new OpenAI({ baseURL, apiKey: "wrong" }).conversations.create(), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.deepEqual([error.status, error.code], [401, "unauthenticated"]);
    return true;
  });
  const client = new OpenAI({ baseURL, apiKey });
  const metadata = Object.fromEntries(Array.from({ length: 17 }, (_, at) => [at, "x"]));
  await assert.rejects(client.conversations.create({ metadata }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.error.message, "`metadata` has more than 16 pairs");
    return true;
  });
}

// Each answer to the first attempt of a write is lost. The client repeats the request by itself, with the same key.
async function lostAnswers() {
  let lost = 0;
  const losing = async (url, init) => {
    const answer = await fetch(url, init);
    const isFirst = new Headers(init.headers).get("x-stainless-retry-count") === "0";
    if (isFirst && init.method.toUpperCase() === "POST") {
      await answer.arrayBuffer();
      lost += 1;
      throw new TypeError("the answer was lost");
    }
    return answer;
  };
  const client = new OpenAI({ baseURL, apiKey, fetch: losing, maxRetries: 1 });
  const keyed = (key) => ({ headers: { "Idempotency-Key": key } });
  const conversation = await client.conversations.create({}, keyed("typescript-conversation"));
  const expected = Array.from({ length: 5 }, (_, at) => `once ${at}`);
  for (const content of expected) {
    const items = [{ role: "user", content }];
    await client.conversations.items.create(conversation.id, { items }, keyed(`typescript ${content}`));
  }
  assert.equal(lost, 6);
  const listed = await all(client.conversations.items.list(conversation.id, { order: "asc" }));
  assert.deepEqual(listed.map(text), expected);
}

await conversations();
await errors();
await lostAnswers();
console.log("the official TypeScript client ran the scripted conversation");
