use std::sync::{Arc, Mutex};

use serde_json::json;
use throughline_core::{Effect, ErrorKind, PersistError, Persistence, plugin::respond};
use throughline_http::{Options, status_of};
use throughline_memory::MemoryBackend;

use super::{expect_error, host};
use crate::support::{Client, Host};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_has_the_form_of_the_api() {
    let host = host().await;
    let client = host.client();
    let created = client.post("/v1/conversations", json!({})).await.expect(200);
    let target = format!("/v1/conversations/{}/items", created["id"].as_str().unwrap());

    let foreign = Client::new(host.address).call("GET", "/v1/conversations/x").send().await;
    let error = expect_error(&foreign, 401, "unauthenticated");
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(foreign.header("www-authenticate"), Some("Bearer"));
    let method = client.call("PUT", "/v1/conversations").send_unchecked().await;
    expect_error(&method, 405, "method_not_allowed");
    assert_eq!(method.header("allow"), Some("POST"));
    let text = client.call("POST", &target).header("content-type", "text/plain").body("{}").send().await;
    expect_error(&text, 415, "unsupported_media_type");
    for body in [
        "{",
        "[]",
        "{}",
        r#"{"items":1}"#,
        r#"{"items":[1]}"#,
        r#"{"items":[[]]}"#,
        r#"{"items":[{}]}"#,
        r#"{"items":[{"role":"user"}]}"#,
        r#"{"items":[{"role":"robot","content":"a"}]}"#,
        r#"{"items":[{"role":"user","content":1}]}"#,
        r#"{"items":[{"role":"user","content":{}}]}"#,
        r#"{"items":[{"role":"user","content":"a","id":""}]}"#,
        r#"{"items":[{"role":"user","content":"a","id":1}]}"#,
        r#"{"items":[{"type":1,"role":"user","content":"a"}]}"#,
        r#"{"items":[{"type":"item_reference","id":"a"}]}"#,
        r#"{"items":[],"unknown":1}"#,
    ] {
        let call = client.call("POST", &target).header("content-type", "application/json");
        let answer = call.body(body).send().await;
        expect_error(&answer, 400, "invalid");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{body}");
    }
    let many: Vec<_> = (0..21).map(|_| json!({"role": "user", "content": "a"})).collect();
    let error = expect_error(&client.post(&target, json!({ "items": many })).await, 400, "invalid");
    assert_eq!(error["message"], "`items` has more than 20 items");
    let second = json!({"items": [{"role": "user", "content": "a"}, {"role": "user"}]});
    let error = expect_error(&client.post(&target, second).await, 400, "invalid");
    assert_eq!(error["message"], "items[1]: a message needs a `content`");
    assert_eq!(client.get(&target).await.expect(200)["data"], json!([]));
    let absent = client.post("/v1/conversations/absent/items", json!({"items": []})).await;
    expect_error(&absent, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_kind_has_its_status_and_says_whether_to_repeat() {
    let next = Arc::new(Mutex::new(None::<PersistError>));
    let error = Arc::clone(&next);
    let fails = respond("fails", move |_, _| error.lock().unwrap().take().map(Err));
    let db = Persistence::builder().plugin(fails).backend(MemoryBackend::new()).build().unwrap();
    let options = Options::new().openai_conversations(true);
    let host = Host::of(db, crate::support::tokens(), options).await;
    let client = host.client();
    for kind in ErrorKind::ALL {
        for (effect, key, expected) in [
            (Effect::Unknown, Some("k"), Some("true")),
            (Effect::Unknown, None, Some("false")),
            (Effect::Applied, Some("k"), Some("false")),
            (Effect::NotApplied, None, None),
        ] {
            *next.lock().unwrap() = Some(PersistError::new(*kind, "as stated").with_effect(effect));
            let mut call = client.call("POST", "/v1/conversations").json(&json!({}));
            if let Some(key) = key {
                call = call.key(key);
            }
            let answer = call.send().await;
            let status = match status_of(*kind).0.as_u16() {
                410 => 404,
                status => status,
            };
            let error = expect_error(&answer, status, kind.code());
            assert_eq!((&error["message"], &error["site"]), (&"as stated".into(), &"fails".into()));
            if expected.is_some() {
                assert_eq!(answer.header("x-should-retry"), expected, "{kind} {effect:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_the_api() {
    let auth =
        |_: &axum::http::request::Parts| -> Result<throughline_http::Caller, throughline_http::Refusal> {
            panic!("a bug of the host")
        };
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, auth, Options::new().openai_conversations(true)).await;
    let answer = Client::new(host.address).get("/v1/conversations/x").await;
    assert_eq!(expect_error(&answer, 500, "panicked")["type"], "server_error");
    Client::new(host.address).get("/v1/threads").await.expect_problem(500, "panicked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_routes_are_served_and_documented_only_if_the_host_wants_them() {
    let without = Host::memory().await;
    without.client().post("/v1/conversations", json!({})).await.expect_problem(404, "no_route");
    let document = without.client().get("/openapi.json").await.expect(200);
    assert!(document["paths"].get("/v1/conversations").is_none());
    let document = host().await.client().get("/openapi.json").await.expect(200);
    let mut routes: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/conversations"))
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    routes.sort();
    assert_eq!(
        routes,
        [
            "delete /v1/conversations/{conversation_id}",
            "delete /v1/conversations/{conversation_id}/items/{item_id}",
            "get /v1/conversations/{conversation_id}",
            "get /v1/conversations/{conversation_id}/items",
            "get /v1/conversations/{conversation_id}/items/{item_id}",
            "post /v1/conversations",
            "post /v1/conversations/{conversation_id}",
            "post /v1/conversations/{conversation_id}/items",
        ]
    );
}
