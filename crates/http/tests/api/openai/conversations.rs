use serde_json::json;
use throughline_core::Metadata;

use super::{expect_error, host, thread};
use crate::support::Client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_created_read_changed_and_deleted() {
    let host = host().await;
    let client = host.client();
    let created = client.post("/v1/conversations", json!({"metadata": {"topic": "trip"}})).await.expect(200);
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("conv_"), "{id}");
    let seconds = created["created_at"].as_i64().unwrap();
    assert_eq!(
        created,
        json!({"id": id, "object": "conversation", "created_at": seconds, "metadata": {"topic": "trip"}})
    );
    let target = format!("/v1/conversations/{id}");
    assert_eq!(client.get(&target).await.expect(200), created);

    // An update sets pairs; `null` clears all.
    let updated = client.post(&target, json!({"metadata": {"mood": "good"}})).await.expect(200);
    assert_eq!(updated["metadata"], json!({"topic": "trip", "mood": "good"}));
    let unchanged = client.post(&target, json!({"metadata": {}})).await.expect(200);
    assert_eq!(unchanged["metadata"], json!({"topic": "trip", "mood": "good"}));
    let cleared = client.post(&target, json!({"metadata": null})).await.expect(200);
    assert_eq!(cleared["metadata"], json!({}));

    let deleted = client.call("DELETE", &target).send().await.expect(200);
    assert_eq!(deleted, json!({"id": id, "object": "conversation.deleted", "deleted": true}));
    expect_error(&client.get(&target).await, 404, "not_found");
    expect_error(&client.post(&target, json!({"metadata": {"a": "b"}})).await, 404, "not_found");
    expect_error(&client.get(&format!("{target}/items")).await, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_body_creates_an_empty_conversation() {
    let host = host().await;
    let client = host.client();
    let created = client.call("POST", "/v1/conversations").send().await.expect(200);
    let items = client.get(&format!("/v1/conversations/{}/items", created["id"].as_str().unwrap())).await;
    assert_eq!(
        items.expect(200),
        json!({"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": false})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_with_a_key_creates_one_conversation_with_its_items_once() {
    let host = host().await;
    let client = host.client();
    let body = json!({"items": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]});
    let create = || client.call("POST", "/v1/conversations").key("k").json(&body).send();
    let first = create().await;
    let again = create().await;
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let (first, again) = (first.expect(200), again.expect(200));
    assert_eq!(first["id"], again["id"]);
    let id = first["id"].as_str().unwrap();
    assert_eq!(thread(&host, id).summary().await.unwrap().unwrap().messages, 2);
    let other = client.call("POST", "/v1/conversations").key("k").json(&json!({})).send().await;
    expect_error(&other, 409, "conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_beyond_the_bounds_of_the_api_is_refused() {
    let host = host().await;
    let client = host.client();
    let pairs = |count: usize| -> serde_json::Map<_, _> {
        (0..count).map(|at| (at.to_string(), json!("x"))).collect()
    };
    for metadata in [
        json!(pairs(17)),
        json!({"n".repeat(65): "x"}),
        json!({"n": "v".repeat(513)}),
        json!({"n": 1}),
        json!({"throughline.x": "1"}),
        json!([]),
    ] {
        let answer = client.post("/v1/conversations", json!({"metadata": metadata})).await;
        expect_error(&answer, 400, "invalid");
    }
    let metadata = json!({"n".repeat(64): "é".repeat(512)});
    let created = client.post("/v1/conversations", json!({"metadata": metadata})).await.expect(200);
    assert_eq!(created["metadata"], metadata);
    client.post("/v1/conversations", json!({"metadata": pairs(16)})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_of_the_host_is_a_conversation_of_its_tenant_only() {
    let host = host().await;
    let client = host.client();
    client.post("/v1/threads", json!({"id": "telegram:42", "metadata": {"n": 1.5}})).await.expect(201);
    let conversation = client.get("/v1/conversations/telegram%3A42").await.expect(200);
    assert_eq!((&conversation["id"], &conversation["metadata"]), (&"telegram:42".into(), &json!({"n": 1.5})));
    let bob = Client::new(host.address).with_token("bob-token");
    let (foreign, absent) =
        (bob.get("/v1/conversations/telegram%3A42").await, bob.get("/v1/conversations/absent").await);
    assert_eq!((foreign.status, &foreign.body), (404, &absent.body));
    let metadata = thread(&host, "telegram:42").summary().await.unwrap().unwrap().metadata;
    assert!(metadata.iter().all(|(name, _)| !name.starts_with(Metadata::RESERVED)));
}
