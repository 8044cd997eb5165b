//! Refusals and failures: each is a problem document.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use throughline_core::{
    Effect, ErrorKind, PersistError, PersistRequest, Persistence, Phase,
    plugin::{NextRequest, from_fn, respond},
};
use throughline_http::{Options, status_of};
use throughline_memory::MemoryBackend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use crate::support::{Client, Host};

on_each_store!(garbage_is_refused_with_a_problem, an_unknown_route_or_method_is_a_problem);

const MESSAGES: &str = "/v1/threads/t/messages";

async fn garbage_is_refused_with_a_problem(host: Host) {
    let client = host.client();
    let huge_number = "9".repeat(400);
    let deep = "[".repeat(100_000);
    let deep_content = format!(r#"{{"role":"user","content":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let bodies = [
        "",
        " ",
        "{",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{}",
        "\u{0}",
        &deep,
        r#"{"role":"user"}"#,
        r#"{"role":"user","text":"a","content":[]}"#,
        r#"{"role":"robot","text":"a"}"#,
        r#"{"role":"user","text":1}"#,
        r#"{"role":"user","text":"\ud800"}"#,
        r#"{"role":"user","content":{}}"#,
        r#"{"role":"user","content":"a"}"#,
        r#"{"role":"user","content":[}"#,
        r#"{"role":"user","text":"a","id":""}"#,
        r#"{"role":"user","text":"a","id":"a\u0000b"}"#,
        r#"{"role":"user","text":"a","id":7}"#,
        r#"{"role":"user","text":"a","metadata":[]}"#,
        r#"{"role":"user","text":"a","attachments":[""]}"#,
        r#"{"role":"user","text":"a","after":-1}"#,
        r#"{"role":"user","text":"a","after":9223372036854775808}"#,
        r#"{"role":"user","text":"a","createdAt":9223372036854775808}"#,
        r#"{"role":"user","text":"a","unknown":1}"#,
        r#"{"role":"user","role":"user","text":"a"}"#,
        r#"{"role":"user","text":"a"} x"#,
        &format!(r#"{{"role":"user","text":"a","after":{huge_number}}}"#),
    ];
    for body in bodies {
        let call = client.call("POST", MESSAGES).header("content-type", "application/json");
        let problem = call.body(body.to_owned()).send().await.expect_problem(400, "invalid");
        assert_eq!((&problem["effect"], &problem["site"]), (&"notApplied".into(), &"http".into()), "{body}");
    }
    for bytes in [
        &b"\xff"[..],
        b"{\"role\":\"user\",\"text\":\"\xff\"}",
        b"{\"role\":\"user\",\"content\":[\"\xff\"]}",
    ] {
        let call = client.call("POST", MESSAGES).header("content-type", "application/json");
        call.body(bytes).send().await.expect_problem(400, "invalid");
    }
    for kind in ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""] {
        let call = client.call("POST", MESSAGES).header("content-type", kind);
        call.body(r#"{"role":"user","text":"a"}"#).send().await.expect_problem(415, "unsupported_media_type");
    }
    let framework = json!({"role": "user", "text": "a", "metadata": {"throughline.x": 1}});
    let problem = client.post(MESSAGES, framework).await.expect_problem(400, "invalid");
    assert_eq!((&problem["effect"], &problem["site"]), (&"notApplied".into(), &"edge".into()));
    // Content that is deep is data, and no reason to fail.
    let call = client
        .call("POST", "/v1/threads/deep/messages")
        .header("content-type", "application/json; charset=utf-8");
    // This client cannot parse it.
    assert_eq!(call.body(deep_content).send_unchecked().await.status, 201);
    client.get("/v1/threads/t").await.expect_problem(404, "not_found");
}

async fn an_unknown_route_or_method_is_a_problem(host: Host) {
    let client = host.client();
    for target in
        ["/v1", "/v1/", "/v1/nothing", "/v1/threads/t/nothing", "/v1/threads/", "/v1/threads/t/drafts/d/eat"]
    {
        for method in ["GET", "POST", "DELETE", "BREW"] {
            client.call(method, target).send().await.expect_problem(404, "no_route");
        }
    }
    let method = client.call("POST", "/v1/threads/t").send().await;
    method.expect_problem(405, "method_not_allowed");
    assert_eq!(method.header("allow"), Some("GET,HEAD,PATCH,DELETE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_kind_has_its_status_and_its_members() {
    let next = Arc::new(Mutex::new(None::<PersistError>));
    let error = Arc::clone(&next);
    let fails = respond("fails", move |_, _| error.lock().unwrap().take().map(Err));
    let db = Persistence::builder().plugin(fails).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    for kind in ErrorKind::ALL {
        for (effect, name) in
            [(Effect::NotApplied, "notApplied"), (Effect::Applied, "applied"), (Effect::Unknown, "unknown")]
        {
            let error = PersistError::new(*kind, "as stated")
                .with_effect(effect)
                .with_retry_after(Duration::from_millis(1500));
            *next.lock().unwrap() = Some(error);
            let answer = client
                .call("POST", MESSAGES)
                .key("k")
                .json(&json!({"role": "user", "text": "x"}))
                .send()
                .await;
            let problem = answer.expect_problem(status_of(*kind).0.as_u16(), kind.code());
            assert_eq!(
                (&problem["detail"], &problem["effect"], &problem["site"], &problem["retry_after"]),
                (&"as stated".into(), &name.into(), &"fails".into(), &2.into()),
                "{kind}"
            );
            assert_eq!(answer.header("retry-after"), Some("2"));
            let advice = problem["advice"].as_str().unwrap_or_default();
            assert_eq!(
                advice.contains("repeat the request with the same"),
                effect == Effect::Unknown,
                "{advice}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_or_headers_beyond_the_bounds_are_refused() {
    let host =
        Host::memory_with(Options::new().max_body_bytes(1000).max_headers(20).max_header_bytes(2000)).await;
    let client = host.client();
    let body = |length: usize| {
        let text = "x".repeat(length - r#"{"role":"user","text":""}"#.len());
        let call = client.call("POST", MESSAGES).header("content-type", "application/json");
        call.body(format!(r#"{{"role":"user","text":"{text}"}}"#))
    };
    body(1000).send().await.expect(201);
    body(1001).send().await.expect_problem(413, "too_large");
    let many = (0..20).fold(client.call("GET", MESSAGES), |call, _| call.header("x-many", "1"));
    many.send().await.expect_problem(431, "headers_too_large");
    let long = client.call("GET", MESSAGES).header("x-long", "x".repeat(2000));
    long.send().await.expect_problem(431, "headers_too_large");
    // A body without a stated length, which never ends.
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let head = "POST /v1/threads/t/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice-token\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(client.get(MESSAGES).await.expect(200)["lastSeq"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_refused_or_disconnected() {
    let limit = Duration::from_millis(50);
    let host = Host::memory_with(Options::new().body_idle_timeout(limit).header_timeout(limit)).await;
    let read = async |sent: &str| {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let head = "POST /v1/threads/t/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice-token\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let answer = read(&format!("{head}{{")).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains(r#""code":"request_timeout""#),
        "{answer}"
    );
    // No first byte, and headers that do not end.
    assert_eq!(read("").await, "");
    let cut = read("GET /v1/threads HTTP/1.1\r\nHost:").await;
    assert!(!cut.contains(" 200 "), "{cut}");
    // An idle connection after its first request.
    let answer = read("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_no_write() {
    let (entered, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (enters, released) = (Arc::clone(&entered), Arc::clone(&release));
    // The call waits above the store, where a dropped future would cancel it.
    let hold = from_fn("hold", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
        let (enters, released) = (Arc::clone(&enters), Arc::clone(&released));
        async move {
            if request.kind().is_write() {
                enters.add_permits(1);
                released.acquire().await.unwrap().forget();
            }
            next.run(request).await
        }
    });
    let db = Persistence::builder().layer(hold).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    let body = json!({"id": "m", "role": "user", "text": "x"});
    let request = tokio::spawn(client.call("POST", MESSAGES).key("k").json(&body).open());
    entered.acquire().await.unwrap().forget();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    // The server has dropped the handler once no request of the route is in flight.
    let operator = Client::new(host.address).with_token("operator-token");
    let gone = r#"throughline_http_requests_in_flight{route="/v1/threads/{thread}/messages"} 0"#;
    while !operator.get("/metrics").await.text().contains(gone) {
        tokio::task::yield_now().await;
    }
    let thread = host.db.for_tenant("alice".parse().unwrap()).thread("t");
    assert!(thread.summary().await.unwrap().is_none());
    release.add_permits(1);
    while thread.summary().await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    release.add_permits(1);
    // The repeated request answers the write of the first one.
    let replayed = client.call("POST", MESSAGES).key("k").json(&body).send().await;
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(replayed.expect(200)["id"], "m");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipeline_is_unavailable() {
    let host = Host::memory().await;
    let client = host.client();
    client.get("/readyz").await.expect(200);
    host.db.close().await.unwrap();
    assert_eq!(client.get("/healthz").await.expect(200)["status"], "ok");
    client.get("/readyz").await.expect_problem(503, "unavailable");
    client.get("/v1/threads").await.expect_problem(503, "unavailable");
    let add = client.post(MESSAGES, json!({"role": "user", "text": "x"})).await;
    assert_eq!(add.expect_problem(503, "unavailable")["effect"], "notApplied");
}
