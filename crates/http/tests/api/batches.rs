//! The routes of batches and of search.

use serde_json::json;

use crate::support::Host;

on_each_store!(
    a_batch_applies_all_or_nothing,
    a_batch_with_a_key_is_applied_once,
    garbage_in_a_batch_is_refused,
    a_search_finds_messages,
);

async fn a_batch_applies_all_or_nothing(host: Host) {
    let client = host.client();
    let add = |id: &str| {
        json!({"add": {
            "thread": "t", "id": id, "role": "user", "content": [{"type": "text", "text": id}], "metadata": {}
        }})
    };
    let rename = json!({"thread": {"rename": {"thread": "t", "title": "Lisbon"}}});
    let answer = client.post("/v1/batch", json!({"items": [add("1"), rename, add("2")]})).await.expect(200);
    assert_eq!(answer["deduplicated"], false);
    assert_eq!(answer["outputs"][0]["add"]["message"]["seq"], 1);
    assert_eq!(answer["outputs"][1]["thread"]["rename"]["summary"]["title"], "Lisbon");
    let twice = client.post("/v1/batch", json!({"items": [add("3"), add("1")]})).await;
    let problem = twice.expect_problem(409, "already_exists");
    assert_eq!((&problem["batchIndex"], &problem["effect"]), (&1.into(), &"notApplied".into()));
    assert_eq!(client.get("/v1/threads/t/messages").await.expect(200)["lastSeq"], 2);
}

async fn a_batch_with_a_key_is_applied_once(host: Host) {
    let client = host.client();
    let body = json!({"items": [{"add": {"thread": "t", "id": "m", "role": "user", "content": [], "metadata": {}}}]});
    let send = || client.call("POST", "/v1/batch").key("k").json(&body);
    let first = send().send().await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = send().send().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let (first, again) = (first.expect(200), again.expect(200));
    assert_eq!(again["outputs"][0]["add"]["message"], first["outputs"][0]["add"]["message"]);
    assert_eq!((&first["deduplicated"], &again["deduplicated"]), (&false.into(), &true.into()));
    assert_eq!(client.get("/v1/threads/t/messages").await.expect(200)["lastSeq"], 1);
}

async fn garbage_in_a_batch_is_refused(host: Host) {
    let client = host.client();
    let content = json!([]);
    for items in [
        json!([]),
        json!({}),
        json!([{}]),
        json!(["add"]),
        json!([{"read": {"threads": {"limit": 1}}}]),
        json!([{"batch": {"items": []}}]),
        json!([{"consumer": {"reset": {"consumer": "c", "to": 1}}}]),
        json!([{"thread": {"purge": {"thread": "t", "limit": 1}}}]),
        json!([{"add": {"thread": "t", "role": "user", "content": content}}]),
        json!([{"add": {"thread": "", "id": "m", "role": "user", "content": content}}]),
        json!([{"delete": {"thread": "t", "id": "m", "tenant": "bob"}}]),
        json!([{"add": {"thread": "t", "id": "m", "role": "user", "content": content}}, {"nothing": {}}]),
    ] {
        client.post("/v1/batch", json!({ "items": items })).await.expect_problem(400, "invalid");
    }
    // Numbers that no store can keep match nothing.
    for number in [i64::MAX.cast_unsigned(), u64::MAX] {
        let add = json!({"thread": "t", "id": "m", "role": "user", "content": [], "after": number});
        let answer = client.post("/v1/batch", json!({"items": [{"add": add}]})).await;
        assert!(matches!(answer.status, 400 | 409), "{}", answer.text());
        let delete = json!({"thread": "t", "id": "m", "expected": number});
        let answer = client.post("/v1/batch", json!({"items": [{"delete": delete}], "after": number})).await;
        assert!(matches!(answer.status, 400 | 404 | 409), "{}", answer.text());
    }
    client.get("/v1/threads/t").await.expect_problem(404, "not_found");
}

async fn a_search_finds_messages(host: Host) {
    let client = host.client();
    for (thread, text) in [("a", "the train to Lisbon"), ("b", "a train to Porto")] {
        let body = json!({"id": "m", "role": "user", "text": text});
        client.post(&format!("/v1/threads/{thread}/messages"), body).await.expect(201);
    }
    let found = loop {
        let found = client.get("/v1/search?q=train%20lisbon").await;
        if found.status == 501 {
            // A store without a full-text index says so.
            found.expect_problem(501, "unsupported");
            return;
        }
        let found = found.expect(200);
        // The index can be behind the last commits.
        if found["hits"].as_array().is_some_and(|hits| !hits.is_empty()) {
            break found;
        }
    };
    assert_eq!((&found["hits"][0]["thread"], &found["hits"][0]["id"]), (&"a".into(), &"m".into()));
    assert!(found["hits"][0]["snippet"].as_str().unwrap().contains("Lisbon"));
    let elsewhere = client.get("/v1/search?q=lisbon&thread=b").await.expect(200);
    assert_eq!(elsewhere["hits"], json!([]));
    for query in ["", "q=", "q=x&limit=0", "q=x&q=y", "q=x&page=2", "q=x&thread="] {
        client.get(&format!("/v1/search?{query}")).await.expect_problem(400, "invalid");
    }
    let long = format!("/v1/search?q={}", "x".repeat(5000));
    client.get(&long).await.expect_problem(413, "too_large");
}
