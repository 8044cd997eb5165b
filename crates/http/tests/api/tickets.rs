//! Tickets for streams.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::support::{Client, Host};

on_each_store!(a_ticket_opens_one_stream_of_its_caller);

async fn ticket(client: &Client) -> String {
    let issued = client.call("POST", "/v1/tickets").send().await;
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let issued = issued.expect(201);
    assert_eq!(issued["expiresIn"], 30);
    let ticket = issued["ticket"].as_str().unwrap().to_owned();
    assert_eq!(ticket.len(), 64);
    ticket
}

async fn a_ticket_opens_one_stream_of_its_caller(host: Host) {
    let (alice, bob) = (host.client(), Client::new(host.address).with_token("bob-token"));
    alice.post("/v1/threads/t/messages", json!({"id": "m", "role": "user", "text": "x"})).await.expect(201);
    bob.post("/v1/threads/t/messages", json!({"role": "user", "text": "hidden"})).await.expect(201);
    let browser = Client::new(host.address);
    let ticket = ticket(&alice).await;
    let mut events = browser.stream(&format!("/v1/changes?after=0&ticket={ticket}"), None).await;
    let change = events.next_with_data().await.unwrap().json();
    assert_eq!((&change["tenant"], &change["kind"]["added"]["id"]), (&json!("alice"), &json!("m")));
    // It was used.
    let again = browser.get(&format!("/v1/changes?after=0&ticket={ticket}")).await;
    again.expect_problem(401, "unauthenticated");
    assert!(!again.text().contains(&ticket));
    // The ticket counts, and not the token of the header.
    alice.get("/v1/changes?after=0&ticket=wrong").await.expect_problem(401, "unauthenticated");
    browser.call("POST", "/v1/tickets").send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_only_for_streams() {
    let host = Host::memory().await;
    let alice = host.client();
    let browser = Client::new(host.address);
    for (method, target) in [
        ("GET", "/v1/threads"),
        ("GET", "/v1/threads/t/messages"),
        ("POST", "/v1/threads"),
        ("DELETE", "/v1/threads/t"),
        ("POST", "/v1/tickets"),
        ("GET", "/metrics"),
    ] {
        let ticket = ticket(&alice).await;
        let call = browser.call(method, &format!("{target}?ticket={ticket}")).json(&json!({}));
        let problem = call.send().await.expect_problem(401, "unauthenticated");
        assert_eq!(problem["detail"], "a ticket is only for streams: send a token", "{method} {target}");
    }
    assert_eq!(alice.get("/v1/threads").await.expect(200)["threads"], json!([]));
}

/// A writer that keeps every line of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_ticket_appears_in_no_log_and_no_error() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let host = Host::memory().await;
    let (alice, browser) = (host.client(), Client::new(host.address));
    let mut tickets = Vec::new();
    for target in ["/v1/changes?after=0", "/v1/changes?after=x", "/v1/changes?unknown=1", "/v1/threads?x=1"] {
        let ticket = ticket(&alice).await;
        for _ in 0..2 {
            let answer = browser.call("GET", &format!("{target}&ticket={ticket}")).send_unchecked().await;
            assert!(!answer.text().contains(&ticket), "{target}: {}", answer.text());
            assert!(answer.headers.values().all(|value| value.to_str().unwrap() != ticket));
        }
        tickets.push(ticket);
    }
    tracing::info!("the log is in use");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is in use"));
    for ticket in tickets {
        assert!(!log.contains(&ticket), "{log}");
    }
}
