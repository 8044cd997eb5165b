//! The audit log, health, metrics, and how a host mounts and serves the router.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use throughline_core::Persistence;
use throughline_http::{NoAuth, Options, StoreHealth, not_found, router};
use throughline_layers::audit::{AuditKey, AuditLayer};
use throughline_memory::MemoryBackend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Client, Host};

fn memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_shows_the_actor_and_the_operation() {
    let layer = AuditLayer::new(AuditKey::new(&[7; 32]));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let (alice, bob) = (host.client(), Client::new(host.address).with_token("bob-token"));
    for (thread, text) in [("t", "1"), ("u", "2"), ("t", "3")] {
        let body = json!({"id": text, "role": "user", "text": text});
        alice.post(&format!("/v1/threads/{thread}/messages"), body).await.expect(201);
    }
    bob.post("/v1/threads/t/messages", json!({"role": "user", "text": "hidden"})).await.expect(201);
    let messages = |page: &Value| -> Vec<String> {
        let entries = page["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["record"]["items"][0]["messages"][0].as_str().unwrap().to_owned()).collect()
    };
    let page = alice.get("/v1/audit").await.expect(200);
    assert_eq!(messages(&page), ["1", "2", "3"]);
    let record = &page["entries"][0]["record"];
    assert_eq!((&record["actor"], &record["callSite"]), (&"alice@test".into(), &"http".into()));
    assert_eq!(messages(&alice.get("/v1/audit?thread=t").await.expect(200)), ["1", "3"]);
    let first = alice.get("/v1/audit?after=0&limit=1").await.expect(200);
    assert_eq!((messages(&first), first["more"].as_bool()), (vec!["1".to_owned()], Some(true)));
    let rest = alice.get(&format!("/v1/audit?after={}", first["reached"])).await.expect(200);
    assert_eq!(messages(&rest), ["2", "3"]);
    for query in ["after=1&before=2", "after=x", "limit=0", "scope=store"] {
        alice.get(&format!("/v1/audit?{query}")).await.expect_problem(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_and_metrics_have_the_health_of_the_store() {
    let accepts = Arc::new(AtomicBool::new(true));
    let health = Arc::clone(&accepts);
    let options = Options::new().public_metrics(true).store_health(move || {
        StoreHealth::new(health.load(SeqCst)).with_condition("the disk is nearly full")
    });
    let host = Host::memory_with(options).await;
    let client = Client::new(host.address);
    let ready = client.get("/readyz").await.expect(200);
    assert_eq!(ready, json!({"status": "ready", "conditions": ["the disk is nearly full"]}));
    assert_eq!(client.get("/healthz").await.expect(200), json!({"status": "ok", "conditions": []}));
    host.client().get("/v1/threads").await.expect(200);
    client.get("/v1/threads").await.expect_problem(401, "unauthenticated");
    let metrics = client.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# TYPE throughline_http_requests_total counter",
        r#"throughline_http_requests_total{route="/v1/threads",method="GET",status="200"} 1"#,
        r#"throughline_http_requests_total{route="/v1/threads",method="GET",status="401"} 1"#,
        r#"throughline_http_request_duration_seconds_bucket{route="/v1/threads",le="+Inf"} 2"#,
        r#"throughline_http_request_duration_seconds_count{route="/v1/threads"} 2"#,
        "throughline_http_streams_open 0",
        "throughline_store_accepts_writes 1",
        "throughline_store_conditions 1",
    ] {
        assert!(metrics.text().lines().any(|known| known == line), "{line}\n{}", metrics.text());
    }
    accepts.store(false, SeqCst);
    client.get("/readyz").await.expect_problem(503, "unavailable");
    assert!(client.get("/metrics").await.text().contains("throughline_store_accepts_writes 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_mounts_the_router_next_to_its_own_routes() {
    let db = memory();
    let auth = || NoAuth::single_tenant("default".parse().unwrap());
    let own = Router::new().route("/", get(|| async { "the host" })).fallback(not_found);
    let nested = own.nest("/api", router(db.clone(), auth())).merge(router(db.clone(), auth()));
    let host = Host::serving(db, nested, Options::new()).await;
    let client = Client::new(host.address);
    assert_eq!(client.call("GET", "/").send_unchecked().await.text(), "the host");
    client.post("/v1/threads", json!({"id": "t"})).await.expect(201);
    let nested = client.call("GET", "/api/v1/threads/t").send_unchecked().await;
    assert_eq!(nested.expect(200)["thread"], "t");
    let created = client.call("POST", "/api/v1/threads").json(&json!({"id": "u"})).send_unchecked().await;
    assert_eq!(created.header("location"), Some("threads/u"));
    client.get("/elsewhere").await.expect_problem(404, "no_route");
    client.get("/v1/elsewhere").await.expect_problem(404, "no_route");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_open_requests_and_refuses_connections() {
    let mut host = Host::memory().await;
    let client = host.client();
    let mut events = client.stream("/v1/changes?after=0", None).await;
    events.next().await.unwrap();
    let polling = {
        let client = client.clone();
        // The document is loaded before the server stops.
        client.get("/healthz").await;
        tokio::spawn(async move { client.get("/v1/changes?after=0&wait=30").await })
    };
    let operator = Client::new(host.address).with_token("operator-token");
    let waits = r#"throughline_http_requests_in_flight{route="/v1/changes"} 1"#;
    while !operator.get("/metrics").await.text().contains(waits) {
        tokio::task::yield_now().await;
    }
    host.stop().await;
    assert_eq!(events.next().await, None);
    assert_eq!(polling.await.unwrap().expect(200)["changes"], json!([]));
    assert!(TcpStream::connect(host.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait() {
    let host = Host::memory_with(Options::new().max_connections(1)).await;
    let mut first = TcpStream::connect(host.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    first.write_all(request).await.unwrap();
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await.unwrap();
    let mut second = TcpStream::connect(host.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let answered = tokio::spawn(async move {
        second.read_exact(&mut begin).await.unwrap();
        begin
    });
    tokio::task::yield_now().await;
    assert!(!answered.is_finished());
    drop(first);
    assert_eq!(&answered.await.unwrap(), b"HTTP/1.1 200");
}
