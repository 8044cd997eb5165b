//! Authentication.

use axum::http::request::Parts;
use serde_json::json;
use throughline_core::{Persistence, operations::Verb};
use throughline_http::{BearerTokens, Caller, NoAuth, Options, Refusal};
use throughline_layers::scope::ScopeLayer;
use throughline_memory::MemoryBackend;
use tokio::net::TcpListener;

use crate::support::{Client, Host};

on_each_store!(a_request_needs_a_known_token, a_tenant_sees_nothing_of_another_one);

async fn a_request_needs_a_known_token(host: Host) {
    for client in [Client::new(host.address), Client::new(host.address).with_token("wrong")] {
        for (method, target) in [
            ("GET", "/v1/threads"),
            ("POST", "/v1/threads"),
            ("GET", "/v1/threads/t/messages"),
            ("GET", "/v1/changes?after=0"),
            ("GET", "/metrics"),
        ] {
            // The caller is checked before the body, and before the query.
            let answer = client.call(method, target).body("not json").send().await;
            let problem = answer.expect_problem(401, "unauthenticated");
            assert_eq!(problem["detail"], "a known bearer token is required");
            assert_eq!(
                (answer.header("www-authenticate"), &problem["effect"]),
                (Some("Bearer"), &"notApplied".into())
            );
        }
        for target in ["/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(client.get(target).await.status, 200, "{target}");
        }
    }
    host.client().get("/metrics").await.expect_problem(403, "denied");
    let operator = Client::new(host.address).with_token("operator-token");
    assert_eq!(operator.get("/metrics").await.status, 200);
}

async fn a_tenant_sees_nothing_of_another_one(host: Host) {
    let (alice, bob) = (host.client(), Client::new(host.address).with_token("bob-token"));
    let body = json!({"id": "m", "role": "user", "text": "secret"});
    alice.post("/v1/threads/t/messages", body.clone()).await.expect(201);
    bob.get("/v1/threads/t").await.expect_problem(404, "not_found");
    bob.get("/v1/threads/t/messages/m").await.expect_problem(404, "not_found");
    assert_eq!(bob.get("/v1/threads/t/messages").await.expect(200)["messages"], json!([]));
    assert_eq!(bob.get("/v1/threads").await.expect(200)["threads"], json!([]));
    // The same ids and the same key are free for another tenant.
    let added = bob.call("POST", "/v1/threads/t/messages").key("k").json(&body).send().await;
    assert_eq!(added.expect(201)["tenant"], "bob");
    let created = |client: &Client| {
        let call = client.call("POST", "/v1/threads").key("same").json(&json!({}));
        async move { call.send().await.expect(201)["thread"].clone() }
    };
    assert_ne!(created(&alice).await, created(&bob).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_reaches_the_layer_that_checks_it() {
    let layer = ScopeLayer::new();
    let everything = layer.authority().everything();
    let reader = everything.of_tenant("alice".parse().unwrap()).only([Verb::Read]);
    let writer = everything.of_tenant("alice".parse().unwrap());
    let caller = |capability| Caller::new("alice".parse().unwrap()).with_credential(capability);
    let tokens =
        BearerTokens::new().with_token("reader", caller(reader)).with_token("writer", caller(writer));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, tokens, Options::new()).await;
    let reader = Client::new(host.address).with_token("reader");
    let writer = Client::new(host.address).with_token("writer");
    let body = json!({"role": "user", "text": "x"});
    writer.post("/v1/threads/t/messages", body.clone()).await.expect(201);
    assert_eq!(reader.get("/v1/threads/t/messages").await.expect(200)["lastSeq"], 1);
    let denied = reader.post("/v1/threads/t/messages", body).await.expect_problem(403, "denied");
    assert_eq!((&denied["site"], &denied["effect"]), (&"scope".into(), &"notApplied".into()));
    assert_eq!(Client::new(host.address).get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_a_foreign_host_or_origin_is_refused() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, NoAuth::single_tenant("default".parse().unwrap()), Options::new()).await;
    let client = Client::new(host.address);
    client.get("/v1/threads").await.expect(200);
    assert_eq!(client.get("/metrics").await.status, 200);
    let foreign = client.call("GET", "/v1/threads").header("origin", "https://evil.example").send().await;
    foreign.expect_problem(403, "denied");
    let own =
        client.call("GET", "/v1/threads").header("origin", format!("http://{}", host.address)).send().await;
    own.expect(200);
    // A form of a foreign page cannot send JSON without a preflight request.
    let form =
        client.call("POST", "/v1/threads").header("content-type", "text/plain").body("{}").send().await;
    form.expect_problem(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_maps_headers_to_callers() {
    let auth = |parts: &Parts| match parts.headers.get("x-user").map(|user| user.to_str()) {
        Some(Ok("down")) => Err(Refusal::unavailable("the directory is down")),
        Some(Ok("banned")) => Err(Refusal::forbidden("the account is closed")),
        Some(Ok(user)) => Ok(Caller::new(user.parse().map_err(|_| Refusal::forbidden("no tenant"))?)),
        _ => Err(Refusal::unauthenticated("no user")),
    };
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, auth, Options::new()).await;
    let client = Client::new(host.address);
    let created = client.call("POST", "/v1/threads").header("x-user", "carl").json(&json!({})).send().await;
    assert_eq!(created.expect(201)["tenant"], "carl");
    for (user, status, code) in [("down", 503, "unavailable"), ("banned", 403, "denied"), ("", 403, "denied")]
    {
        client.call("GET", "/v1/threads").header("x-user", user).send().await.expect_problem(status, code);
    }
    client.get("/v1/threads").await.expect_problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authentication_that_panics_is_a_problem() {
    let auth = |_: &Parts| -> Result<Caller, Refusal> { panic!("a bug of the host") };
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, auth, Options::new()).await;
    let problem = Client::new(host.address).get("/v1/threads").await.expect_problem(500, "panicked");
    assert_eq!(problem["detail"], "the handler of the request panicked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_only_the_loopback_interface_is_served() {
    let tenant = || "default".parse().unwrap();
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = NoAuth::for_listener(&everywhere, tenant()).unwrap_err();
    assert_eq!(error.address(), everywhere.local_addr().ok());
    let expected = format!(
        "a server without authentication must listen on the loopback interface, and not on {}: bind it to 127.0.0.1, or use tokens",
        everywhere.local_addr().unwrap()
    );
    assert_eq!(error.to_string(), expected);
    let loopback = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(NoAuth::for_listener(&loopback, tenant()).is_ok());
}
