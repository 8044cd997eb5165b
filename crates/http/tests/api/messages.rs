//! The routes of messages.

use serde_json::{Value, json};

use crate::support::{Client, Host};

on_each_store!(
    a_message_is_added_read_patched_edited_and_deleted,
    a_retried_request_adds_once,
    content_survives_byte_for_byte,
    pages_go_in_both_directions,
    if_match_refuses_another_revision,
    if_none_match_answers_304_only_for_the_same_representation,
    a_null_clears_metadata_and_attachments,
    metadata_is_set_where_it_is_absent,
    an_id_is_used_again_where_the_thread_reuses_ids,
    a_precondition_on_the_thread_is_kept,
);

const MESSAGES: &str = "/v1/threads/t/messages";

async fn add(client: &Client, id: &str) -> Value {
    client.post(MESSAGES, json!({"id": id, "role": "user", "text": id})).await.expect(201)
}

async fn a_message_is_added_read_patched_edited_and_deleted(host: Host) {
    let client = host.client();
    let body = json!({
        "id": "m/1", "role": "user", "text": "hello", "metadata": {"channel": "web"}, "attachments": ["a.png"],
        "createdAt": 7
    });
    let added = client.post(MESSAGES, body).await;
    assert_eq!(added.header("location"), Some("messages/m%2F1"));
    let message = added.expect(201);
    assert_eq!(
        message,
        json!({
            "tenant": "alice", "thread": "t", "id": "m/1", "seq": 1, "role": "user", "state": "final", "revision": 1,
            "content": [{"type": "text", "text": "hello"}], "metadata": {"channel": "web"}, "attachments": ["a.png"],
            "createdAt": 7, "updatedAt": message["updatedAt"]
        })
    );
    let path = "/v1/threads/t/messages/m%2F1";
    let read = client.get(path).await;
    assert_eq!(read.header("etag"), added.header("etag"));
    assert_eq!(read.expect(200), message);
    let head = client.call("HEAD", path).send().await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, added.header("etag")));

    let patched = client.call("PATCH", path).json(&json!({"metadata": {"channel": null, "starred": true}}));
    let patched = patched.send().await;
    assert_eq!(patched.header("etag"), Some("\"1\""));
    assert_eq!(
        patched.expect(200),
        json!({
            "thread": "t", "id": "m/1", "seq": 1, "metadata": {"starred": true}, "attachments": ["a.png"],
            "revision": 1, "deduplicated": false
        })
    );
    let edited =
        client.call("PUT", &format!("{path}/content")).json(&json!([{"type": "text", "text": "hi"}]));
    let edited = edited.send().await;
    assert_eq!(edited.header("etag"), Some("\"2\""));
    assert_eq!(
        edited.expect(200),
        json!({"thread": "t", "id": "m/1", "revision": 2, "state": "final", "deduplicated": false})
    );
    assert_eq!(client.get(path).await.expect(200)["content"], json!([{"type": "text", "text": "hi"}]));

    let deleted = client.call("DELETE", path).send().await.expect(200);
    assert_eq!(
        deleted,
        json!({
            "thread": "t", "id": "m/1", "seq": 1, "revision": 2, "state": "final", "attachments": ["a.png"],
            "deduplicated": false
        })
    );
    client.get(path).await.expect_problem(404, "not_found");
    client.call("DELETE", path).send().await.expect_problem(404, "not_found");
    client
        .post(MESSAGES, json!({"id": "m/1", "role": "user", "text": "x"}))
        .await
        .expect_problem(410, "gone");
    let put = client.call("PUT", &format!("{path}/content")).json(&json!([]));
    put.send().await.expect_problem(404, "not_found");
}

async fn a_retried_request_adds_once(host: Host) {
    let client = host.client();
    let send = |key: &'static str, text: &'static str| {
        let call = client.call("POST", MESSAGES).key(key).json(&json!({"role": "user", "text": text}));
        async move { call.send().await }
    };
    let first = send("update-1007", "hello").await;
    let message = first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    for _ in 0..3 {
        let again = send("update-1007", "hello").await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(
            (again.header("etag"), again.header("location")),
            (first.header("etag"), first.header("location"))
        );
        assert_eq!(again.expect(200), message);
    }
    send("update-1007", "other").await.expect_problem(409, "conflict");
    let page = client.get(MESSAGES).await.expect(200);
    assert_eq!(page["messages"], json!([message]));

    client
        .call("POST", MESSAGES)
        .key("")
        .json(&json!({"role": "user", "text": "x"}))
        .send()
        .await
        .expect_problem(400, "invalid");
    let long = "k".repeat(256);
    client
        .call("POST", MESSAGES)
        .key(&long)
        .json(&json!({"role": "user", "text": "x"}))
        .send()
        .await
        .expect_problem(400, "invalid");
    let reserved = client.call("POST", MESSAGES).key("throughline.http.append.x");
    reserved.json(&json!({"role": "user", "text": "x"})).send().await.expect_problem(400, "invalid");
    let twice = client.call("POST", MESSAGES).key("a").key("b");
    twice.json(&json!({"role": "user", "text": "x"})).send().await.expect_problem(400, "invalid");
}

async fn content_survives_byte_for_byte(host: Host) {
    let client = host.client();
    let content = r#"[{"type":"text","text":"\ud800"},1.10,18446744073709551615,{"a":1,"a":2}]"#;
    let metadata = r#"{"n":1.10}"#;
    let body = format!(r#"{{"id":"m","role":"tool","content":{content},"metadata":{metadata}}}"#);
    let call =
        |method: &str, target: &str| client.call(method, target).header("content-type", "application/json");
    let added = call("POST", MESSAGES).body(body).send_unchecked().await;
    assert_eq!(added.status, 201, "{}", added.text());
    // A lone surrogate is no text of this client, so that only the bytes are compared.
    let read = call("GET", "/v1/threads/t/messages/m").send_unchecked().await;
    for answer in [added, read, call("GET", MESSAGES).send_unchecked().await] {
        assert!(answer.text().contains(content) && answer.text().contains(metadata), "{}", answer.text());
    }
}

async fn pages_go_in_both_directions(host: Host) {
    let client = host.client();
    for id in ["1", "2", "3", "4", "5"] {
        add(&client, id).await;
    }
    client.post("/v1/threads/t/drafts", json!({"id": "6"})).await.expect(201);
    let page = |query: &'static str| {
        let client = client.clone();
        async move {
            let page = client.get(&format!("{MESSAGES}?{query}")).await.expect(200);
            let ids = page["messages"].as_array().unwrap().iter();
            let ids: String = ids.map(|message| message["id"].as_str().unwrap()).collect();
            (ids, page["next"].clone(), page["hasMore"].as_bool().unwrap())
        }
    };
    let expected = |ids: &str, next: Value, has_more: bool| (ids.to_owned(), next, has_more);
    assert_eq!(page("").await, expected("123456", Value::Null, false));
    assert_eq!(page("limit=2").await, expected("12", json!({"after": 2}), true));
    assert_eq!(page("limit=2&after=2").await, expected("34", json!({"after": 4}), true));
    assert_eq!(page("limit=2&after=4").await, expected("56", Value::Null, false));
    assert_eq!(page("limit=2&order=desc").await, expected("65", json!({"before": 5}), true));
    assert_eq!(page("limit=2&order=desc&before=5").await, expected("43", json!({"before": 3}), true));
    assert_eq!(page("limit=2&before=5").await, expected("34", json!({"before": 3}), true));
    assert_eq!(page("limit=4&order=desc&after=1").await, expected("5432", json!({"after": 5}), true));
    assert_eq!(page("visibility=final").await, expected("12345", Value::Null, false));
    assert_eq!(page("visibility=settled&after=5").await.0, "");
    let all = client.get(MESSAGES).await.expect(200);
    assert_eq!((&all["firstOpen"], &all["lastSeq"]), (&6.into(), &6.into()));
    for query in [
        "after=1&before=3",
        "order=up",
        "visibility=none",
        "limit=0",
        "limit=201",
        "after=-1",
        "after=9223372036854775808",
        "after=1&after=2",
        "offset=3",
    ] {
        client.get(&format!("{MESSAGES}?{query}")).await.expect_problem(400, "invalid");
    }
    let empty = client.get("/v1/threads/empty/messages").await.expect(200);
    assert_eq!((&empty["messages"], &empty["lastSeq"]), (&json!([]), &0.into()));
}

async fn if_match_refuses_another_revision(host: Host) {
    let client = host.client();
    add(&client, "m").await;
    let path = "/v1/threads/t/messages/m";
    let content = format!("{path}/content");
    let put = |tag: &'static str| client.call("PUT", &content).header("if-match", tag).json(&json!([]));
    for tag in ["\"2\"", "\"abc\"", "W/\"1\""] {
        let problem = put(tag).send().await.expect_problem(412, "stale");
        assert_eq!(problem["effect"], "notApplied");
    }
    put("1").send().await.expect_problem(400, "invalid");
    put("\"1\", \"2\"").send().await.expect_problem(400, "invalid");
    let tag = client.get(path).await.header("etag").unwrap().to_owned();
    let edited = client.call("PUT", &content).header("if-match", tag.clone()).json(&json!([])).send().await;
    assert_eq!(edited.expect(200)["revision"], 2);
    for (method, body) in [("PATCH", Some(json!({"metadata": {}}))), ("DELETE", None)] {
        let mut call = client.call(method, path).header("if-match", tag.clone());
        if let Some(body) = body {
            call = call.json(&body);
        }
        call.send().await.expect_problem(412, "stale");
    }
    let mistaken = client.call("PUT", &content).header("if-none-match", "*").json(&json!([]));
    mistaken.send().await.expect_problem(400, "invalid");
    put("*").send().await.expect(200);
    // A replay of an applied edit succeeds, although the revision is another one by now.
    let keyed = || client.call("PUT", &content).key("edit").header("if-match", "\"3\"").json(&json!([1]));
    assert_eq!(keyed().send().await.expect(200)["revision"], 4);
    let replayed = keyed().send().await;
    assert_eq!(
        (replayed.header("etag"), replayed.header("idempotency-replayed")),
        (Some("\"4\""), Some("true"))
    );
    client.call("DELETE", path).header("if-match", "\"4\"").send().await.expect(200);
}

async fn if_none_match_answers_304_only_for_the_same_representation(host: Host) {
    let client = host.client();
    add(&client, "m").await;
    let path = "/v1/threads/t/messages/m";
    let tag = client.get(path).await.header("etag").unwrap().to_owned();
    let known = client.call("GET", path).header("if-none-match", tag.clone()).send().await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(&*tag)));
    client.call("PATCH", path).json(&json!({"metadata": {"starred": true}})).send().await.expect(200);
    let changed = client.call("GET", path).header("if-none-match", tag.clone()).send().await;
    assert_eq!(changed.expect(200)["metadata"], json!({"starred": true}));
    assert_ne!(changed.header("etag"), Some(&*tag));
}

async fn a_null_clears_metadata_and_attachments(host: Host) {
    let client = host.client();
    let body = json!({"id": "m", "role": "user", "text": "x", "metadata": {"a": 1, "b": 2}, "attachments": ["a", "b"]});
    client.post(MESSAGES, body).await.expect(201);
    let path = "/v1/threads/t/messages/m";
    let kept = client.call("PATCH", path).json(&json!({})).send().await.expect(200);
    assert_eq!((&kept["metadata"], &kept["attachments"]), (&json!({"a": 1, "b": 2}), &json!(["a", "b"])));
    for _ in 0..2 {
        let clear = client.call("PATCH", path).key("k").json(&json!({"metadata": null, "attachments": null}));
        let cleared = clear.send().await.expect(200);
        assert_eq!((&cleared["metadata"], &cleared["attachments"]), (&json!({}), &json!([])));
    }
    let missing = client.call("PATCH", "/v1/threads/t/messages/no").json(&json!({"metadata": null}));
    missing.send().await.expect_problem(404, "not_found");
}

async fn metadata_is_set_where_it_is_absent(host: Host) {
    let client = host.client();
    let body = json!({"id": "m", "role": "user", "text": "x", "metadata": {"a": 1}});
    client.post(MESSAGES, body).await.expect(201);
    let path = "/v1/threads/t/messages/m";
    let patch = |body: Value| {
        let call = client.call("PATCH", path).json(&body);
        async move { call.send().await }
    };
    let set = patch(json!({"whereAbsent": {"a": 2, "b": 2}})).await.expect(200);
    assert_eq!((&set["metadata"], &set["kept"]), (&json!({"a": 1, "b": 2}), &json!(["a"])));
    let both = patch(json!({"metadata": {"a": null}, "whereAbsent": {"c": [null]}})).await.expect(200);
    assert_eq!((&both["metadata"], both.get("kept")), (&json!({"b": 2, "c": [null]}), None));
    patch(json!({"whereAbsent": {"d": null}})).await.expect_problem(400, "invalid");
    patch(json!({"whereAbsent": null})).await.expect_problem(400, "invalid");
    patch(json!({"metadata": {"b": 1}, "whereAbsent": {"b": 2}})).await.expect_problem(400, "invalid");
    assert_eq!(client.get(path).await.expect(200)["metadata"], json!({"b": 2, "c": [null]}));
}

async fn an_id_is_used_again_where_the_thread_reuses_ids(host: Host) {
    let client = host.client();
    let created = client.post("/v1/threads", json!({"id": "t", "reusesIds": true})).await.expect(201);
    assert_eq!(created["reusesIds"], true);
    add(&client, "m").await;
    client.call("DELETE", "/v1/threads/t/messages/m").send().await.expect(200);
    let again = add(&client, "m").await;
    assert_eq!((&again["seq"], &again["revision"]), (&json!(2), &json!(3)));
    let late = client.call("DELETE", "/v1/threads/t/messages/m").header("if-match", "\"1\"");
    late.send().await.expect_problem(412, "stale");
}

async fn a_precondition_on_the_thread_is_kept(host: Host) {
    let client = host.client();
    add(&client, "1").await;
    let after = |seq: u64| json!({"role": "user", "text": "x", "after": seq});
    client.post(MESSAGES, after(0)).await.expect_problem(409, "stale");
    client.post(MESSAGES, after(1)).await.expect(201);
    let generation = |number: u64| json!({"role": "user", "text": "x", "generation": number});
    client.post(MESSAGES, generation(2)).await.expect_problem(409, "stale");
    client.post(MESSAGES, generation(1)).await.expect(201);
}
