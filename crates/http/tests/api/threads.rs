//! The routes of threads.

use serde_json::{Value, json};

use crate::support::{Client, Host};

on_each_store!(
    a_thread_is_created_read_patched_and_deleted,
    a_repeated_creation_with_a_key_creates_one_thread,
    a_merge_patch_keeps_clears_and_sets,
    a_null_for_a_whole_map_clears_it,
    threads_are_listed_by_activity_in_pages,
    threads_are_listed_by_creation_in_both_directions,
    an_id_with_any_character_survives_the_path,
);

/// Creates a listed thread: it has a message.
async fn listed(client: &Client, id: &str, body: Value) {
    let mut body = body;
    body["id"] = id.into();
    client.post("/v1/threads", body).await.expect(201);
    client.post(&format!("/v1/threads/{id}/messages"), json!({"role": "user", "text": id})).await.expect(201);
}

async fn a_thread_is_created_read_patched_and_deleted(host: Host) {
    let client = host.client();
    let body = json!({
        "id": "trip", "title": "Lisbon", "owner": "ann", "labels": {"project": "atlas"}, "metadata": {"n": 1}
    });
    let created = client.post("/v1/threads", body).await;
    assert_eq!(created.header("location"), Some("threads/trip"));
    assert_eq!(created.header("cache-control"), Some("no-store"));
    assert_eq!(created.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(created.header("idempotency-replayed"), None);
    let summary = created.expect(201);
    assert_eq!(
        (&summary["thread"], &summary["title"], &summary["owner"], &summary["tenant"]),
        (&"trip".into(), &"Lisbon".into(), &"ann".into(), &"alice".into())
    );
    assert_eq!((&summary["labels"], &summary["metadata"]), (&json!({"project": "atlas"}), &json!({"n": 1})));
    assert_eq!(client.get("/v1/threads/trip").await.expect(200), summary);

    client.post("/v1/threads", json!({"id": "trip"})).await.expect_problem(409, "already_exists");
    let patch = client.call("PATCH", "/v1/threads/trip").json(&json!({"title": "Porto", "archived": true}));
    let patched = patch.send().await.expect(200);
    assert_eq!((&patched["title"], &patched["archived"]), (&"Porto".into(), &true.into()));
    assert_eq!(patched["owner"], "ann");

    let deleted = client.call("DELETE", "/v1/threads/trip").send().await.expect(200);
    assert_eq!(deleted, json!({"thread": "trip", "already": false, "deduplicated": false}));
    let again = client.call("DELETE", "/v1/threads/trip").send().await.expect(200);
    assert_eq!(again["already"], true);
    client.get("/v1/threads/trip").await.expect_problem(404, "not_found");
    client.post("/v1/threads", json!({"id": "trip"})).await.expect_problem(410, "gone");
    client
        .call("PATCH", "/v1/threads/trip")
        .json(&json!({"title": "x"}))
        .send()
        .await
        .expect_problem(410, "gone");
}

async fn a_repeated_creation_with_a_key_creates_one_thread(host: Host) {
    let client = host.client();
    let create = |key: &'static str, body: Value| {
        let client = client.clone();
        async move { client.call("POST", "/v1/threads").key(key).json(&body).send().await }
    };
    let first = create("k", json!({"title": "a"})).await;
    let thread = first.expect(201)["thread"].clone();
    let second = create("k", json!({"title": "a"})).await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.expect(200)["thread"], thread);
    assert_eq!(second.header("location"), first.header("location"));
    create("k", json!({"title": "b"})).await.expect_problem(409, "conflict");
    assert_ne!(create("other", json!({"title": "a"})).await.expect(201)["thread"], thread);

    let deleted = |key: &'static str| {
        let call = client.call("DELETE", &format!("/v1/threads/{}", thread.as_str().unwrap())).key(key);
        async move { call.send().await }
    };
    assert_eq!(deleted("d").await.expect(200)["already"], false);
    let replayed = deleted("d").await;
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(replayed.expect(200)["already"], false);
}

async fn a_merge_patch_keeps_clears_and_sets(host: Host) {
    let client = host.client();
    let body = json!({
        "id": "t", "title": "a", "owner": "ann",
        "labels": {"keep": "1", "clear": "2"}, "metadata": {"keep": 1, "clear": 2}
    });
    client.post("/v1/threads", body).await.expect(201);
    let patch = |body: Value| {
        let call =
            client.call("PATCH", "/v1/threads/t").header("content-type", "application/merge-patch+json");
        async move { call.body(body.to_string()).send().await }
    };
    let same = patch(json!({})).await.expect(200);
    assert_eq!((&same["title"], &same["owner"]), (&"a".into(), &"ann".into()));
    let patched = patch(json!({
        "owner": null, "labels": {"clear": null, "set": "3"}, "metadata": {"clear": null, "set": {"deep": null}}
    }));
    let patched = patched.await.expect(200);
    assert_eq!(patched["title"], "a");
    assert_eq!(patched.get("owner"), None);
    assert_eq!(patched["labels"], json!({"keep": "1", "set": "3"}));
    assert_eq!(patched["metadata"], json!({"keep": 1, "set": {"deep": null}}));
    let cleared = patch(json!({"title": null, "archived": null})).await.expect(200);
    assert_eq!((&cleared["title"], &cleared["archived"]), (&"Untitled".into(), &false.into()));

    patch(json!({"unknown": 1})).await.expect_problem(400, "invalid");
    patch(json!({"title": 7})).await.expect_problem(400, "invalid");
    patch(json!({"metadata": {"throughline.x": 1}})).await.expect_problem(400, "invalid");
    let call = client.call("PATCH", "/v1/threads/t").header("if-match", "\"1\"").json(&json!({"title": "x"}));
    call.send().await.expect_problem(400, "invalid");
    let missing = client.call("PATCH", "/v1/threads/missing").json(&json!({}));
    missing.send().await.expect_problem(404, "not_found");
    let missing = client.call("PATCH", "/v1/threads/missing").json(&json!({"title": "x"}));
    missing.send().await.expect_problem(404, "not_found");
}

async fn a_null_for_a_whole_map_clears_it(host: Host) {
    let client = host.client();
    let body = json!({"id": "t", "labels": {"a": "1", "b": "2"}, "metadata": {"x": 1, "y": 2}});
    client.post("/v1/threads", body).await.expect(201);
    let patch =
        || client.call("PATCH", "/v1/threads/t").key("k").json(&json!({"labels": null, "metadata": null}));
    // A lost answer: the request is repeated with its key, and finds other names.
    for _ in 0..2 {
        let cleared = patch().send().await.expect(200);
        assert_eq!((cleared.get("labels"), cleared.get("metadata")), (None, None));
    }
    let missing = client.call("PATCH", "/v1/threads/missing").json(&json!({"labels": null}));
    missing.send().await.expect_problem(404, "not_found");
}

async fn threads_are_listed_by_activity_in_pages(host: Host) {
    let client = host.client();
    for id in ["a", "b", "c"] {
        listed(&client, id, json!({"owner": "ann", "labels": {"project": "x&y"}})).await;
    }
    listed(&client, "d", json!({"owner": "bea"})).await;
    client.call("PATCH", "/v1/threads/b").json(&json!({"archived": true})).send().await.expect(200);
    let names = |page: &Value| -> Vec<String> {
        page["threads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|thread| thread["thread"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&client.get("/v1/threads").await.expect(200)), ["d", "c", "a"]);
    assert_eq!(names(&client.get("/v1/threads?archived=true").await.expect(200)), ["b"]);
    assert_eq!(names(&client.get("/v1/threads?archived=any&owner=ann").await.expect(200)), ["c", "b", "a"]);
    let labeled = client.get("/v1/threads?labels%5Bproject%5D=x%26y").await.expect(200);
    assert_eq!(names(&labeled), ["c", "a"]);

    let (mut seen, mut target) = (Vec::new(), "/v1/threads?archived=any&limit=1".to_owned());
    loop {
        let page = client.get(&target).await.expect(200);
        seen.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/threads?archived=any&limit=1&after={next}");
    }
    assert_eq!(seen, ["d", "c", "b", "a"]);

    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "archived=maybe",
        "unlisted=any",
        "order=created",
        "after=x",
        "unknown=1",
        "owner=",
        "labels%5Ba%5D=",
    ] {
        client.get(&format!("/v1/threads?{query}")).await.expect_problem(400, "invalid");
    }
}

async fn threads_are_listed_by_creation_in_both_directions(host: Host) {
    let client = host.client();
    for (id, at) in [("old", 1), ("new", 3), ("same", 3), ("middle", 2)] {
        listed(&client, id, json!({"createdAt": at})).await;
    }
    client.post("/v1/threads", json!({"id": "empty", "createdAt": 4})).await.expect(201);
    client.post("/v1/threads", json!({"id": "hidden", "createdAt": 5, "hidden": true})).await.expect(201);
    let walk = async |query: &str| {
        let (mut seen, mut target) = (Vec::new(), format!("/v1/threads?limit=2&{query}"));
        loop {
            let page = client.get(&target).await.expect(200);
            let threads = page["threads"].as_array().unwrap().iter();
            seen.extend(threads.map(|thread| thread["thread"].as_str().unwrap().to_owned()));
            let Some(next) = page.get("next") else { return seen };
            target = format!("/v1/threads?limit=2&{query}&after={}", next.as_str().unwrap());
        }
    };
    assert_eq!(walk("order=newestCreated").await, ["same", "new", "middle", "old"]);
    assert_eq!(walk("order=oldestCreated").await, ["old", "middle", "new", "same"]);
    assert_eq!(walk("order=newestCreated&unlisted=true").await[..2], ["empty", "same"]);
    assert_eq!(walk("order=latestActivity&unlisted=true").await[4], "empty");
    assert_eq!(walk("order=latestActivity&unlisted=false").await.len(), 4);

    let first = client.get("/v1/threads?limit=1&order=newestCreated").await.expect(200);
    assert_eq!(first["next"], "newestCreated:3:same");
    for order in ["latestActivity", "oldestCreated"] {
        let other = format!("/v1/threads?order={order}&after={}", first["next"].as_str().unwrap());
        client.get(&other).await.expect_problem(400, "invalid");
    }
}

async fn an_id_with_any_character_survives_the_path(host: Host) {
    let client = host.client();
    let created = client.post("/v1/threads", json!({"id": "a/b?c#d%e é"})).await;
    assert_eq!(created.header("location"), Some("threads/a%2Fb%3Fc%23d%25e%20%C3%A9"));
    let read = client.get("/v1/threads/a%2Fb%3Fc%23d%25e%20%C3%A9").await.expect(200);
    assert_eq!(read["thread"], "a/b?c#d%e é");
    for id in ["%00", "%0a", "%ff", &"x".repeat(256)] {
        client.get(&format!("/v1/threads/{id}")).await.expect_problem(400, "invalid");
    }
}
