//! The route of changes: the stream and the long poll.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::{Value, json};
use throughline_core::{
    ErrorKind, NewMessage, PersistArgs, PersistError, Persistence, Position, ReadArgs, ReadResult,
    changes::Changes, plugin::respond,
};
use throughline_http::Options;
use throughline_memory::MemoryBackend;
use throughline_sqlite::SqliteOptions;

use crate::support::{Client, Event, Events, Host};

on_each_store!(
    a_stream_sends_past_and_future_changes,
    a_stream_that_is_cut_and_resumed_sends_each_change_once,
    a_stream_of_one_thread_omits_the_others,
    a_tenant_sees_only_its_own_changes,
    a_long_poll_answers_at_once_or_at_the_next_change,
    the_position_to_begin_at_is_required,
    a_page_and_a_stream_from_its_position_show_everything_once,
);

async fn add(client: &Client, thread: &str, text: &str) {
    let target = format!("/v1/threads/{thread}/messages");
    client.post(&target, json!({"role": "user", "text": text, "id": text})).await.expect(201);
}

/// Returns the id of the message of a change event.
fn added(event: &Event) -> String {
    assert_eq!(event.event, "change");
    let change = event.json();
    assert_eq!(change["position"], event.position());
    change["kind"]["added"]["id"].as_str().unwrap_or_else(|| panic!("{change}")).to_owned()
}

async fn next_added(events: &mut Events) -> String {
    added(&events.next_with_data().await.expect("the stream continues"))
}

async fn a_stream_sends_past_and_future_changes(host: Host) {
    let client = host.client();
    add(&client, "t", "past").await;
    let mut events = client.stream("/v1/changes?after=0", None).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(events.headers[name], value);
    }
    let opening = events.next().await.unwrap();
    assert_eq!((opening.retry.as_str(), opening.id.as_str(), opening.data.as_str()), ("2000", "0", ""));
    assert_eq!(next_added(&mut events).await, "past");
    add(&client, "t", "future").await;
    assert_eq!(next_added(&mut events).await, "future");
}

async fn a_stream_that_is_cut_and_resumed_sends_each_change_once(mut host: Host) {
    const COUNT: usize = 60;
    let client = host.client();
    let db = host.db.for_tenant("alice".parse().unwrap());
    let writer = tokio::spawn(async move {
        for number in 0..COUNT {
            db.thread("t")
                .add(NewMessage::user("x").with_id(number.to_string().parse().unwrap()))
                .await
                .unwrap();
        }
    });
    let (mut seen, mut last) = (Vec::new(), None::<String>);
    while seen.len() < COUNT {
        // Each connection is cut after a few events; the first one begins with the query, the others with the header.
        let mut events = client.stream("/v1/changes?after=0", last.as_deref()).await;
        for _ in 0..=seen.len() % 5 {
            if seen.len() < COUNT {
                let event = events.next_with_data().await.unwrap();
                last = Some(event.id.clone());
                seen.push(added(&event));
            }
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>());
    // A server that shuts down ends its streams, and another one continues.
    let mut events = client.stream("/v1/changes?after=0", last.as_deref()).await;
    events.next().await.unwrap();
    host.stop().await;
    assert_eq!(events.next().await, None);
    let replica = Host::over(host.db.clone()).await;
    add(&replica.client(), "t", "later").await;
    let mut events = replica.client().stream("/v1/changes?after=0", last.as_deref()).await;
    assert_eq!(next_added(&mut events).await, "later");
}

async fn a_stream_of_one_thread_omits_the_others(host: Host) {
    let client = host.client();
    let mut events = client.stream("/v1/changes?after=0&thread=a%2Fb", None).await;
    add(&client, "other", "hidden").await;
    add(&client, "a%2Fb", "shown").await;
    assert_eq!(next_added(&mut events).await, "shown");
}

async fn a_tenant_sees_only_its_own_changes(host: Host) {
    let alice = host.client();
    let bob = Client::new(host.address).with_token("bob-token");
    let mut events = alice.stream("/v1/changes?after=0", None).await;
    add(&bob, "t", "of-bob").await;
    add(&alice, "t", "of-alice").await;
    assert_eq!(next_added(&mut events).await, "of-alice");
    let polled = bob.get("/v1/changes?after=0").await.expect(200);
    let tenants: Vec<_> =
        polled["changes"].as_array().unwrap().iter().map(|change| &change["tenant"]).collect();
    assert_eq!(tenants, ["bob"]);
}

async fn a_long_poll_answers_at_once_or_at_the_next_change(host: Host) {
    let client = host.client();
    let empty = client.get("/v1/changes?after=0").await.expect(200);
    assert_eq!((&empty["changes"], &empty["more"]), (&json!([]), &false.into()));
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.get("/v1/changes?after=0&wait=30").await.expect(200) })
    };
    add(&client, "t", "1").await;
    let polled = waiting.await.unwrap();
    assert_eq!(polled["changes"][0]["kind"]["added"]["id"], "1");
    add(&client, "t", "2").await;
    add(&client, "t", "3").await;
    let ids = |page: &Value| -> Vec<String> {
        let changes = page["changes"].as_array().unwrap().iter();
        changes.map(|change| change["kind"]["added"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let page = client.get(&format!("/v1/changes?limit=1&after={}", polled["position"])).await.expect(200);
    assert_eq!((ids(&page), page["more"].as_bool()), (vec!["2".to_owned()], Some(true)));
    // `Last-Event-ID` takes precedence over `after`.
    let last =
        client.call("GET", "/v1/changes?after=0").header("last-event-id", page["position"].to_string());
    assert_eq!(ids(&last.send().await.expect(200)), ["3"]);
}

async fn the_position_to_begin_at_is_required(host: Host) {
    let client = host.client();
    for target in [
        "/v1/changes",
        "/v1/changes?after=x",
        "/v1/changes?after=0&limit=0",
        "/v1/changes?after=0&wait=x",
        "/v1/changes?after=0&scope=store",
    ] {
        client.get(target).await.expect_problem(400, "invalid");
    }
    let id = client.call("GET", "/v1/changes?after=0").header("last-event-id", "x").send().await;
    id.expect_problem(400, "invalid");
    let image = client.call("GET", "/v1/changes?after=0").header("accept", "image/png").send().await;
    image.expect_problem(406, "not_acceptable");
    // A position that the store has not reached yet.
    for accept in ["application/json", "text/event-stream"] {
        let ahead = client.call("GET", "/v1/changes?after=1000000").header("accept", accept).send().await;
        let problem = ahead.expect_problem(410, "too_old");
        assert_eq!(problem["advice"], "load the data again, and continue from its position");
    }
}

async fn a_page_and_a_stream_from_its_position_show_everything_once(host: Host) {
    let client = host.client();
    for text in ["1", "2"] {
        add(&client, "t", text).await;
    }
    let page = client.get("/v1/threads/t/messages").await.expect(200);
    add(&client, "t", "3").await;
    let mut seen: Vec<_> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["id"].as_str().unwrap().to_owned())
        .collect();
    let mut events = client.stream(&format!("/v1/changes?thread=t&after={}", page["position"]), None).await;
    seen.push(next_added(&mut events).await);
    assert_eq!(seen, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_are_not_kept_say_to_load_again() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteOptions::new().changes_kept(2).open(folder.path().join("chat.db")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    for number in 0..10 {
        add(&client, "t", &number.to_string()).await;
    }
    for accept in ["application/json", "text/event-stream"] {
        let old = client.call("GET", "/v1/changes?after=1").header("accept", accept).send().await;
        let problem = old.expect_problem(410, "too_old");
        assert_eq!(problem["advice"], "load the data again, and continue from its position");
    }
    let page = client.get("/v1/threads/t/messages").await.expect(200);
    let mut events = client.stream(&format!("/v1/changes?after={}", page["position"]), None).await;
    add(&client, "t", "next").await;
    assert_eq!(next_added(&mut events).await, "next");
}

/// Returns a counter of `/metrics`.
async fn metric(host: &Host, name: &str) -> u64 {
    let operator = Client::new(host.address).with_token("operator-token");
    let metrics = operator.get("/metrics").await;
    let line = metrics
        .text()
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")))
        .expect("the counter exists");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_lags_is_cut_and_resumes_without_a_loss() {
    let host = Host::memory_with(Options::new().max_lag(500)).await;
    let client = host.client();
    let db = host.db.for_tenant("alice".parse().unwrap());
    let thread = db.thread("t");
    let mut events = client.stream("/v1/changes?after=0", None).await;
    thread.add(NewMessage::user("x")).await.unwrap();
    let mut last = events.next_with_data().await.unwrap();
    let mut seen = vec![last.position()];
    // The reader takes nothing, until the buffers of the connection are full and the server cuts the stream.
    let mut count = 1;
    while metric(&host, "throughline_http_streams_cut_total").await == 0 {
        for _ in 0..500 {
            thread.add(NewMessage::user("x")).await.unwrap();
            count += 1;
        }
    }
    loop {
        let event = events.next_with_data().await.expect("a lagging stream ends with an event");
        if event.event == "lagged" {
            assert_eq!((event.json(), &event.id), (json!({"after": last.position()}), &last.id));
            break;
        }
        seen.push(event.position());
        last = event;
    }
    assert_eq!(events.next().await, None);
    assert!(seen.len() < count, "the stream was not cut before its end");
    let mut events = client.stream("/v1/changes?after=0", Some(&last.id)).await;
    while seen.len() < count {
        seen.push(events.next_with_data().await.unwrap().position());
    }
    assert!(seen.is_sorted_by(|a, b| a < b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_has_comments_that_move_its_position() {
    let host = Host::memory_with(Options::new().heartbeat(Duration::from_millis(20))).await;
    let client = host.client();
    let mut events = client.stream("/v1/changes?after=0&thread=quiet", None).await;
    events.next().await.unwrap();
    add(&client, "loud", "1").await;
    let committed = client.get("/v1/changes?after=0").await.expect(200)["position"].as_u64().unwrap();
    loop {
        let event = events.next().await.unwrap();
        assert_eq!((event.comment.as_str(), event.data.as_str()), ("keep-alive", ""));
        if event.position() == committed {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_a_caller_are_limited() {
    let host = Host::memory_with(Options::new().max_streams(2)).await;
    let client = host.client();
    let mut first = client.stream("/v1/changes?after=0", None).await;
    first.next().await.unwrap();
    let second = client.stream("/v1/changes?after=0", None).await;
    let refused =
        client.call("GET", "/v1/changes?after=0").header("accept", "text/event-stream").send().await;
    let problem = refused.expect_problem(429, "overloaded");
    assert_eq!((&problem["retry_after"], refused.header("retry-after")), (&1.into(), Some("1")));
    // Another caller has its own limit.
    let bob = Client::new(host.address).with_token("bob-token");
    bob.stream("/v1/changes?after=0", None).await.next().await.unwrap();
    drop(second);
    while metric(&host, "throughline_http_streams_open").await > 1 {
        tokio::task::yield_now().await;
    }
    client.stream("/v1/changes?after=0", None).await.next().await.unwrap();
    // The first stream is still open.
    add(&client, "t", "1").await;
    assert_eq!(next_added(&mut first).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_later_ends_the_stream_with_a_problem() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_broken);
    let breaks = respond("breaks", move |args, _| {
        (!args.kind().is_write() && flag.load(SeqCst))
            .then(|| Err(PersistError::new(ErrorKind::Unavailable, "the disk is gone")))
    });
    let db = Persistence::builder().plugin(breaks).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    let mut events = client.stream("/v1/changes?after=0", None).await;
    add(&client, "t", "1").await;
    assert_eq!(next_added(&mut events).await, "1");
    is_broken.store(true, SeqCst);
    add(&client, "t", "2").await;
    let event = events.next_with_data().await.unwrap();
    assert_eq!((event.event.as_str(), event.id.as_str()), ("problem", ""));
    assert_eq!((&event.json()["code"], &event.json()["status"]), (&"unavailable".into(), &503.into()));
    assert_eq!(events.next().await, None);
}

/// A store examines a bounded number of changes in one read, so that it can answer without one although there are more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_time_answers_after_one_read() {
    let reads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&reads);
    let many = respond("many", move |args, _| {
        let PersistArgs::Read(ReadArgs::Changes(read)) = args else { return None };
        count.fetch_add(1, SeqCst);
        let position = Position::new(read.after.get() + 20_000);
        let answer = Changes { changes: Vec::new(), position, more: true };
        Some(Ok(ReadResult::Changes(answer).into()))
    });
    let db = Persistence::builder().plugin(many).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let answer = host.client().get("/v1/changes?after=5&wait=0").await.expect(200);
    assert_eq!((&answer["position"], &answer["more"]), (&20_005.into(), &true.into()));
    assert_eq!(reads.load(SeqCst), 1);
}
