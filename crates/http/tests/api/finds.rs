//! The route of finds by metadata.

use serde_json::{Value, json};
use throughline_core::Persistence;
use throughline_http::{BearerTokens, Caller, Options};
use throughline_layers::scope::ScopeLayer;
use throughline_memory::MemoryBackend;

use crate::support::{Client, Host, indexed};

on_each_store!(
    a_find_returns_the_messages_with_this_value,
    the_pages_of_a_find_show_each_message_once_in_both_orders,
    a_find_returns_final_messages_and_others_if_it_asks,
    a_page_of_a_find_ends_at_its_bytes,
    a_find_by_a_field_that_is_not_declared_names_it,
    a_malformed_find_is_refused_by_name,
);

async fn add(client: &Client, thread: &str, id: &str, metadata: Value) {
    // The time of creation decides the order over threads.
    let created: i64 = id.trim_start_matches('m').parse().unwrap();
    let body = json!({"id": id, "role": "user", "text": id, "metadata": metadata, "createdAt": created});
    client.post(&format!("/v1/threads/{thread}/messages"), body).await.expect(201);
}

/// Finds with this query, which is not encoded.
async fn find(client: &Client, query: &str) -> Value {
    client.get(&target(query)).await.expect(200)
}

fn target(query: &str) -> String {
    let encoded: String = query
        .chars()
        .map(|char| match char {
            '[' => "%5B".to_owned(),
            ']' => "%5D".to_owned(),
            '"' => "%22".to_owned(),
            char => char.to_string(),
        })
        .collect();
    format!("/v1/messages?{encoded}")
}

fn ids(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap()).collect()
}

async fn a_find_returns_the_messages_with_this_value(host: Host) {
    let client = host.client();
    add(&client, "a", "m1", json!({"orderId": "A-17", "kind": "question"})).await;
    add(&client, "b", "m2", json!({"orderId": "A-17"})).await;
    add(&client, "b", "m3", json!({"orderId": 17})).await;
    add(&client, "b", "m4", json!({"orderId": "17"})).await;
    add(&client, "b", "m5", json!({"kind": true})).await;
    for (query, due) in [
        ("metadata[orderId]=\"A-17\"", &["m2", "m1"][..]),
        ("metadata[orderId]=\"A-17\"&thread=a", &["m1"]),
        ("metadata[orderId]=\"\\u0041-17\"&thread=b", &["m2"]),
        ("metadata[orderId]=17", &["m3"]),
        ("metadata[orderId]=\"17\"", &["m4"]),
        ("metadata[kind]=true", &["m5"]),
        ("metadata[kind]=\"question\"", &["m1"]),
        ("metadata[kind]=false", &[]),
        ("metadata[kind]=true&thread=absent", &[]),
    ] {
        let page = find(&client, query).await;
        assert_eq!(
            (ids(&page), &page["damaged"], page.get("next")),
            (due.to_vec(), &json!([]), None),
            "{query}"
        );
    }
    let page = find(&client, "metadata[kind]=\"question\"").await;
    let message = client.get("/v1/threads/a/messages/m1").await.expect(200);
    assert_eq!(page["messages"][0], message, "whole messages");

    let patch = json!({"metadata": {"orderId": "A-18"}});
    client.call("PATCH", "/v1/threads/a/messages/m1").json(&patch).send().await.expect(200);
    client.call("DELETE", "/v1/threads/b/messages/m2").send().await.expect(200);
    assert_eq!(ids(&find(&client, "metadata[orderId]=\"A-17\"").await), Vec::<&str>::new());
    assert_eq!(ids(&find(&client, "metadata[orderId]=\"A-18\"").await), ["m1"]);
}

async fn the_pages_of_a_find_show_each_message_once_in_both_orders(host: Host) {
    let client = host.client();
    // The ids are in the order of the times, and the threads take turns.
    for n in 1..=5 {
        add(&client, ["a", "b"][n % 2], &format!("m{n}"), json!({"kind": "tool"})).await;
    }
    for (query, due) in [
        ("&limit=2", &[&["m5", "m4"][..], &["m3", "m2"], &["m1"]][..]),
        ("&limit=2&order=newestFirst", &[&["m5", "m4"], &["m3", "m2"], &["m1"]]),
        ("&limit=3&order=oldestFirst", &[&["m1", "m2", "m3"], &["m4", "m5"]]),
        ("&limit=2&order=oldestFirst&thread=b", &[&["m1", "m3"], &["m5"]]),
        ("&limit=1&thread=a", &[&["m4"], &["m2"]]),
    ] {
        let query = format!("metadata[kind]=\"tool\"{query}");
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let page = find(&client, &format!("{query}{after}")).await;
            pages.push(ids(&page).into_iter().map(str::to_owned).collect::<Vec<_>>());
            match page.get("next") {
                Some(next) => after = format!("&after={}", next.as_str().unwrap()),
                None => break,
            }
        }
        assert_eq!(pages, due, "{query}");
    }
}

async fn a_find_returns_final_messages_and_others_if_it_asks(host: Host) {
    let client = host.client();
    for id in ["m1", "m2", "m3"] {
        let body = json!({"id": id, "metadata": {"kind": "reply"}});
        client.post("/v1/threads/t/drafts", body).await.expect(201);
    }
    client.post("/v1/threads/t/drafts/m1/finish", json!({"text": "done"})).await.expect(200);
    client.post("/v1/threads/t/drafts/m2/abandon", json!({})).await.expect(200);
    for (query, due) in [
        ("", &["m1"][..]),
        ("&visibility=final", &["m1"]),
        ("&visibility=settled", &["m1", "m2"]),
        ("&visibility=all", &["m1", "m2", "m3"]),
    ] {
        let query = format!("metadata[kind]=\"reply\"&thread=t&order=oldestFirst{query}");
        assert_eq!(ids(&find(&client, &query).await), due, "{query}");
    }
}

async fn a_page_of_a_find_ends_at_its_bytes(host: Host) {
    let client = host.client();
    for id in ["m1", "m2", "m3"] {
        let body = json!({"id": id, "role": "user", "text": "x".repeat(10_000), "metadata": {"kind": 1}});
        client.post("/v1/threads/t/messages", body).await.expect(201);
    }
    let query = "metadata[kind]=1&thread=t&order=oldestFirst";
    for (bytes, due) in [(1, 1), (15_000, 1), (25_000, 2), (60_000, 3)] {
        let page = find(&client, &format!("{query}&maxBytes={bytes}")).await;
        assert_eq!((ids(&page).len(), page.get("next").is_some()), (due, due < 3), "{bytes} bytes");
    }
}

async fn a_find_by_a_field_that_is_not_declared_names_it(host: Host) {
    let client = host.client();
    for query in ["metadata[color]=\"red\"", "metadata[color]=\"red\"&thread=t"] {
        let problem = client.get(&target(query)).await.expect_problem(501, "unsupported");
        let detail = "the metadata field `color` is not indexed: declare it as an indexed metadata field when the store is opened \
                      (indexed: kind, orderId)";
        assert_eq!((&problem["detail"], &problem["effect"]), (&detail.into(), &"notApplied".into()));
    }
}

async fn a_malformed_find_is_refused_by_name(host: Host) {
    let client = host.client();
    let scalars = "find by a string, a boolean, or an integer of 64 bits";
    for (query, detail) in [
        ("", "the query has no parameter `metadata[NAME]`"),
        ("metadata=1", "the query has no parameter `metadata[NAME]`"),
        (
            "metadata[kind]=1&metadata[orderId]=1",
            "a find needs exactly one metadata field, and this one has 2",
        ),
        (
            "metadata[kind]=tool",
            "the query parameter `metadata[kind]` is not JSON: a string has quotes, as in \"A-17\"",
        ),
        ("metadata[kind]=1.5", &format!("the value of `kind` is not indexed: {scalars}")),
        ("metadata[kind]=null", &format!("the value of `kind` is not indexed: {scalars}")),
        ("metadata[kind]=18446744073709551616", &format!("the value of `kind` is not indexed: {scalars}")),
        ("metadata[kind]=1&kind=1", "the route has no query parameter `kind`"),
        ("metadata[kind]=1&order=up", "the query parameter `order` is none of `newestFirst`, `oldestFirst`"),
        (
            "metadata[kind]=1&visibility=open",
            "the query parameter `visibility` is none of `final`, `settled`, `all`",
        ),
        ("metadata[kind]=1&limit=201", "the query parameter `limit` is not between 1 and 200"),
        ("metadata[kind]=1&maxBytes=0", "the query parameter `maxBytes` is not between 1 and 67108864"),
        ("metadata[kind]=1&after=17", "the query parameter `after` is not the `next` of a page"),
        ("metadata[kind]=1&after=1:2:", "the query parameter `after` is not the `next` of a page"),
    ] {
        let problem = client.get(&target(query)).await.expect_problem(400, "invalid");
        assert_eq!(problem["detail"], detail, "{query}");
    }
    client.get(&target("metadata[kind]=1&thread=")).await.expect_problem(400, "invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_one_thread_finds_only_there() {
    let layer = ScopeLayer::new();
    let everything = layer.authority().everything().of_tenant("alice".parse().unwrap());
    let in_thread = everything.in_thread("a".parse().unwrap()).read_only();
    let caller = |capability| Caller::new("alice".parse().unwrap()).with_credential(capability);
    let tokens =
        BearerTokens::new().with_token("all", caller(everything)).with_token("thread", caller(in_thread));
    let backend = MemoryBackend::new().with_indexed_metadata(indexed());
    let db = Persistence::builder().layer(layer).backend(backend).build().unwrap();
    let host = Host::of(db, tokens, Options::new()).await;
    let (all, of_thread) =
        (Client::new(host.address).with_token("all"), Client::new(host.address).with_token("thread"));
    for (thread, id) in [("a", "m1"), ("b", "m2")] {
        add(&all, thread, id, json!({"kind": "tool"})).await;
    }
    let query = "metadata[kind]=\"tool\"";
    assert_eq!(ids(&find(&all, query).await), ["m2", "m1"]);
    assert_eq!(ids(&find(&of_thread, &format!("{query}&thread=a")).await), ["m1"]);
    for query in [query.to_owned(), format!("{query}&thread=b")] {
        let denied = of_thread.get(&target(&query)).await.expect_problem(403, "denied");
        assert_eq!(denied["site"], "scope", "{query}");
    }
    Client::new(host.address).get(&target(query)).await.expect_problem(401, "unauthenticated");
}
