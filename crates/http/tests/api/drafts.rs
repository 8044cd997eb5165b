//! The routes of drafts.

use serde_json::{Value, json};
use throughline_core::Persistence;
use throughline_layers::redact::RedactLayer;
use throughline_memory::MemoryBackend;

use crate::support::{Answer, Client, Host};

on_each_store!(
    a_draft_is_reserved_appended_and_finished,
    an_append_repeated_after_a_lost_answer_is_applied_once,
    an_end_repeated_after_a_lost_answer_is_applied_once,
    a_settled_draft_refuses_writes,
    an_append_without_content_renews_the_lease,
    bodies_of_drafts_are_checked,
);

const DRAFTS: &str = "/v1/threads/t/drafts";

async fn reserve(client: &Client, id: &str) {
    client.post(DRAFTS, json!({"id": id})).await.expect(201);
}

async fn write(client: &Client, id: &str, verb: &str, body: Value) -> Answer {
    client.post(&format!("{DRAFTS}/{id}/{verb}"), body).await
}

async fn content(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/threads/t/messages/{id}")).await.expect(200)["content"].clone()
}

async fn a_draft_is_reserved_appended_and_finished(host: Host) {
    let client = host.client();
    let reserved = client.post(DRAFTS, json!({"id": "d", "metadata": {"model": "x"}, "lease": 5000})).await;
    assert_eq!(reserved.header("location"), Some("messages/d"));
    let message = reserved.expect(201);
    assert_eq!(
        (&message["state"], &message["role"], &message["revision"], &message["content"]),
        (&"reserved".into(), &"assistant".into(), &1.into(), &json!([]))
    );
    assert_eq!(message["lease"]["duration"], 5000);

    let first = write(&client, "d", "append", json!({"number": 1, "text": "Hel"})).await;
    assert_eq!(first.header("etag"), Some("\"2\""));
    assert_eq!(
        first.expect(200),
        json!({"thread": "t", "id": "d", "revision": 2, "state": "streaming", "deduplicated": false})
    );
    write(&client, "d", "append", json!({"number": 2, "text": "lo"})).await.expect(200);
    write(&client, "d", "append", json!({"number": 3, "blocks": [{"type": "image"}]})).await.expect(200);
    let finished = write(&client, "d", "finish", json!({"text": "!"})).await.expect(200);
    assert_eq!((&finished["revision"], &finished["state"]), (&5.into(), &"final".into()));
    assert_eq!(
        content(&client, "d").await,
        json!([{"type": "text", "text": "Hello"}, {"type": "image"}, {"type": "text", "text": "!"}])
    );

    reserve(&client, "snapshot").await;
    write(&client, "snapshot", "append", json!({"number": 1, "text": "draft"})).await.expect(200);
    write(&client, "snapshot", "finish", json!({"content": [{"type": "text", "text": "whole"}]}))
        .await
        .expect(200);
    assert_eq!(content(&client, "snapshot").await, json!([{"type": "text", "text": "whole"}]));

    reserve(&client, "stopped").await;
    let abandoned = write(&client, "stopped", "abandon", json!({"reason": "the user pressed stop"})).await;
    assert_eq!(abandoned.expect(200)["state"], "abandoned");
    let message = client.get("/v1/threads/t/messages/stopped").await.expect(200);
    assert_eq!(message["abandonReason"], "the user pressed stop");
}

async fn an_append_repeated_after_a_lost_answer_is_applied_once(host: Host) {
    let client = host.client();
    let reserved = |key: &'static str| {
        let call = client.call("POST", DRAFTS).key(key).json(&json!({}));
        async move { call.send().await }
    };
    let id = reserved("reply").await.expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(reserved("reply").await.expect(200)["id"], *id);
    for (number, text) in (1..).zip(["a", "a", "b"]) {
        let body = json!({"number": number, "text": text});
        let first = write(&client, &id, "append", body.clone()).await;
        assert_eq!(first.header("idempotency-replayed"), None);
        for _ in 0..3 {
            let again = write(&client, &id, "append", body.clone()).await;
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.header("etag"), first.header("etag"));
            assert_eq!(again.expect(200)["revision"], number + 1);
        }
        // The same number with other content is not a repetition.
        let other = json!({"number": number, "text": "other"});
        write(&client, &id, "append", other).await.expect_problem(409, "conflict");
    }
    // A repetition that arrives late, after the next appends.
    write(&client, &id, "append", json!({"number": 1, "text": "a"})).await.expect(200);
    assert_eq!(content(&client, &id).await, json!([{"type": "text", "text": "aab"}]));
    // Another draft counts for itself.
    reserve(&client, "other").await;
    let other = write(&client, "other", "append", json!({"number": 1, "text": "a"})).await;
    assert_eq!(other.header("idempotency-replayed"), None);
}

async fn an_end_repeated_after_a_lost_answer_is_applied_once(host: Host) {
    let client = host.client();
    for (id, verb, body) in
        [("f", "finish", json!({"text": "!"})), ("a", "abandon", json!({"reason": "stop"}))]
    {
        reserve(&client, id).await;
        write(&client, id, "append", json!({"number": 1, "text": "Hi"})).await.expect(200);
        let first = write(&client, id, verb, body.clone()).await.expect(200);
        let again = write(&client, id, verb, body.clone()).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let mut again = again.expect(200);
        again["deduplicated"] = false.into();
        assert_eq!(again, first);
    }
    assert_eq!(content(&client, "f").await, json!([{"type": "text", "text": "Hi!"}]));
    // Without a body.
    reserve(&client, "empty").await;
    for _ in 0..2 {
        client.call("POST", &format!("{DRAFTS}/empty/finish")).send().await.expect(200);
    }
}

async fn a_settled_draft_refuses_writes(host: Host) {
    let client = host.client();
    reserve(&client, "d").await;
    let stale = client.call("POST", &format!("{DRAFTS}/d/append")).header("if-match", "\"7\"");
    stale.json(&json!({"number": 1, "text": "x"})).send().await.expect_problem(412, "stale");
    let open = client.call("PUT", "/v1/threads/t/messages/d/content").json(&json!([]));
    open.send().await.expect_problem(409, "conflict");
    write(&client, "d", "finish", json!({"text": "done"})).await.expect(200);
    write(&client, "d", "append", json!({"number": 1, "text": "x"})).await.expect_problem(409, "stale");
    write(&client, "d", "abandon", json!({})).await.expect_problem(409, "stale");
    write(&client, "d", "finish", json!({"text": "other"})).await.expect_problem(409, "conflict");
    assert_eq!(content(&client, "d").await, json!([{"type": "text", "text": "done"}]));
    write(&client, "missing", "append", json!({"number": 1, "text": "x"}))
        .await
        .expect_problem(404, "not_found");
    client.post(DRAFTS, json!({"id": "d"})).await.expect_problem(409, "already_exists");
}

async fn an_append_without_content_renews_the_lease(host: Host) {
    let client = host.client();
    reserve(&client, "d").await;
    let expires_at = || async {
        let message = client.get("/v1/threads/t/messages/d").await.expect(200);
        message["lease"]["expiresAt"].as_i64().unwrap()
    };
    let before = expires_at().await;
    for _ in 0..2 {
        let renewed = write(&client, "d", "append", json!({})).await.expect(200);
        assert_eq!((&renewed["revision"], &renewed["state"]), (&1.into(), &"reserved".into()));
    }
    assert!(expires_at().await > before);
}

async fn bodies_of_drafts_are_checked(host: Host) {
    let client = host.client();
    reserve(&client, "d").await;
    for body in [
        json!({"text": "no number"}),
        json!({"number": 0, "text": "x"}),
        json!({"number": -1, "text": "x"}),
        json!({"number": 1, "text": "x", "blocks": []}),
        json!({"number": 1, "content": []}),
        json!({"number": "1", "text": "x"}),
        json!({"number": 1, "blocks": {}}),
        json!([]),
    ] {
        write(&client, "d", "append", body).await.expect_problem(400, "invalid");
    }
    let both =
        client.call("POST", &format!("{DRAFTS}/d/append")).key("k").json(&json!({"number": 1, "text": "x"}));
    both.send().await.expect_problem(400, "invalid");
    write(&client, "d", "finish", json!({"text": "x", "content": []})).await.expect_problem(400, "invalid");
    for body in [
        json!({"lease": 0}),
        json!({"lease": 2_592_000_001_u64}),
        json!({"role": "robot"}),
        json!({"text": "x"}),
    ] {
        client.post(DRAFTS, body).await.expect_problem(400, "invalid");
    }
    let message = client.get("/v1/threads/t/messages/d").await.expect(200);
    assert_eq!(message["state"], "reserved");
}

/// A layer that buffers text changes no revision with some appends, so that the revision cannot number them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_a_layer_buffers_is_applied_once() {
    let db =
        Persistence::builder().layer(RedactLayer::secrets()).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    reserve(&client, "d").await;
    let secret = ["key: sk-ant-api03-", "AAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBB", " end"];
    for (number, text) in (1..).zip(secret) {
        for _ in 0..2 {
            write(&client, "d", "append", json!({"number": number, "text": text})).await.expect(200);
        }
    }
    for _ in 0..2 {
        write(&client, "d", "finish", json!({"text": "."})).await.expect(200);
    }
    let content = content(&client, "d").await;
    let text = content[0]["text"].as_str().unwrap();
    assert!(text.starts_with("key: ") && text.ends_with(" end."), "{text}");
    assert_eq!(text.matches("end").count(), 1);
    assert!(!text.contains("AAAA") && !text.contains("BBBB"), "{text}");
}
