//! The stream of a thread, and tail reads.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use throughline_core::{NewMessage, Persistence};
use throughline_http::Options;
use throughline_layers::redact::RedactLayer;
use throughline_memory::MemoryBackend;
use throughline_sqlite::{SqliteBackend, SqliteOptions};
use tokio::sync::Semaphore;

use crate::support::{Client, Event, Events, Host};

on_each_store!(
    a_stream_shows_past_and_future_changes_with_their_content,
    a_page_and_a_stream_from_its_position_lose_nothing,
    a_tenant_and_a_thread_see_only_their_own_content,
    the_cursor_to_begin_at_is_required,
    a_tail_read_continues_at_its_cursor,
    a_tail_read_checks_its_query,
    content_with_line_breaks_is_one_event,
);

const APPENDS: usize = 1000;
const CUTS: usize = 50;
/// The bytes of an event around its content: its fields, the ids and the names of the members.
const EVENT: usize = 256;
/// The bytes of the begin of a stream.
const OPENING: usize = 128;

async fn add(client: &Client, thread: &str, id: &str) {
    let target = format!("/v1/threads/{thread}/messages");
    client.post(&target, json!({"role": "user", "text": id, "id": id})).await.expect(201);
}

async fn draft(client: &Client, id: &str, verb: &str, body: Value) {
    client.post(&format!("/v1/threads/t/drafts/{id}/{verb}"), body).await.expect(200);
}

/// Returns the text of the parts of an event, which has no blocks.
fn text(event: &Event) -> String {
    let parts = event.json()["parts"].as_array().unwrap().clone();
    parts.iter().map(|part| part["text"].as_str().unwrap().to_owned()).collect()
}

async fn next(events: &mut Events) -> Event {
    events.next_with_data().await.expect("the stream continues")
}

fn names_and_data(events: &[Event]) -> Vec<(&str, Value)> {
    events.iter().map(|event| (event.event.as_str(), event.json())).collect()
}

async fn a_stream_shows_past_and_future_changes_with_their_content(host: Host) {
    let client = host.client();
    add(&client, "t", "past").await;
    let mut events = client.stream("/v1/threads/t/stream?after=0", None).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(events.headers[name], value);
    }
    let opening = events.next().await.unwrap();
    assert_eq!((opening.retry.as_str(), opening.id.as_str(), opening.data.as_str()), ("2000", "0", ""));
    let added = next(&mut events).await;
    let message = client.get("/v1/threads/t/messages/past").await.expect(200);
    assert_eq!((added.event.as_str(), added.json()), ("added", message));

    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    let reserved = next(&mut events).await;
    assert_eq!((reserved.event.as_str(), &reserved.json()["content"]), ("reserved", &json!([])));
    draft(&client, "d", "append", json!({"number": 1, "text": "Hel\u{e9}"})).await;
    let first = next(&mut events).await;
    let appended =
        json!({"id": "d", "seq": 2, "revision": 2, "state": "streaming", "parts": [{"text": "Hel\u{e9}"}]});
    assert_eq!((first.event.as_str(), first.json()), ("delta", appended));
    draft(&client, "d", "append", json!({"number": 2, "blocks": [{"type": "image"}]})).await;
    assert_eq!(next(&mut events).await.json()["parts"], json!([{"blocks": [{"type": "image"}]}]));
    draft(&client, "d", "abandon", json!({"reason": "stopped"})).await;
    let ended = next(&mut events).await;
    assert_eq!(
        (ended.event.as_str(), ended.json()),
        ("abandoned", json!({"id": "d", "seq": 2, "revision": 4, "reason": "stopped"}))
    );
    client.call("PATCH", "/v1/threads/t").json(&json!({"title": "Lisbon"})).send().await.expect(200);
    let mut changed = next(&mut events).await;
    while changed.event != "thread" {
        changed = next(&mut events).await;
    }
    assert_eq!(changed.json()["title"], "Lisbon");
    client.call("DELETE", "/v1/threads/t/messages/past").send().await.expect(200);
    let deleted = next(&mut events).await;
    assert_eq!((deleted.event.as_str(), deleted.json()), ("deleted", json!({"id": "past", "seq": 1})));

    // Another replica continues from any event.
    let replica = Host::over(host.db.clone()).await;
    let mut events = replica.client().stream("/v1/threads/t/stream?after=0", Some(&first.id)).await;
    let rest = [next(&mut events).await, next(&mut events).await];
    assert_eq!(names_and_data(&rest)[0].1["parts"], json!([{"blocks": [{"type": "image"}]}]));
    assert_eq!(rest[1].event, "abandoned");
}

async fn a_page_and_a_stream_from_its_position_lose_nothing(host: Host) {
    let client = host.client();
    add(&client, "t", "first").await;
    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    draft(&client, "d", "append", json!({"number": 1, "text": "on the page"})).await;
    let page = client.get("/v1/threads/t/messages").await.expect(200);
    draft(&client, "d", "append", json!({"number": 2, "text": ", and behind it"})).await;
    draft(&client, "d", "finish", json!({})).await;
    let target = format!("/v1/threads/t/stream?after={}", page["position"]);
    let mut events = client.stream(&target, None).await;
    let whole = next(&mut events).await;
    assert_eq!((whole.event.as_str(), text(&whole).as_str()), ("replaced", "on the page, and behind it"));
    assert_eq!(next(&mut events).await.event, "finished");
}

async fn a_tenant_and_a_thread_see_only_their_own_content(host: Host) {
    let (alice, bob) = (host.client(), Client::new(host.address).with_token("bob-token"));
    let mut events = alice.stream("/v1/threads/a%2Fb/stream?after=0", None).await;
    for (client, thread, id) in
        [(&bob, "a%2Fb", "of-bob"), (&alice, "other", "of-another-thread"), (&alice, "a%2Fb", "shown")]
    {
        add(client, thread, id).await;
    }
    assert_eq!(next(&mut events).await.json()["id"], "shown");
    alice.get("/v1/threads/a%2Fb/messages/of-bob/content").await.expect_problem(404, "not_found");
}

async fn the_cursor_to_begin_at_is_required(host: Host) {
    let client = host.client();
    for query in ["", "?after=x", "?after=1;2", "?after=0&limit=7", "?after=0&after=1"] {
        let target = format!("/v1/threads/t/stream{query}");
        client.get(&target).await.expect_problem(400, "invalid");
    }
    let id = client.call("GET", "/v1/threads/t/stream?after=0").header("last-event-id", "x").send().await;
    id.expect_problem(400, "invalid");
    let ahead = client.get("/v1/threads/t/stream?after=1000000").await.expect_problem(410, "too_old");
    assert_eq!(ahead["advice"], "load the data again, and continue from its position");
}

async fn a_tail_read_continues_at_its_cursor(host: Host) {
    let client = host.client();
    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    let read =
        async |query: &str| client.get(&format!("/v1/threads/t/messages/d/content{query}")).await.expect(200);
    draft(&client, "d", "append", json!({"number": 1, "text": "Hello, "})).await;
    let first = read("?limit=5").await;
    assert_eq!((&first["parts"], &first["hasMore"]), (&json!([{"text": "Hello"}]), &true.into()));
    let second = read(&format!("?after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&second["parts"], &second["hasMore"]), (&json!([{"text": ", "}]), &false.into()));
    draft(&client, "d", "finish", json!({"text": "world"})).await;
    let after = format!("?after={}", second["next"].as_str().unwrap());
    let last = read(&after).await;
    assert_eq!((&last["parts"], &last["state"]), (&json!([{"text": "world"}]), &"final".into()));
    assert_eq!((&last["revision"], &last["replaced"]), (&3.into(), &false.into()));
    let target = "/v1/threads/t/messages/d/content";
    client.call("PUT", target).json(&json!([{"type": "text", "text": "edited"}])).send().await.expect(200);
    let edited = read(&after).await;
    // A block with its members in another order is no text that an append continues.
    let block = json!([{"blocks": [{"text": "edited", "type": "text"}]}]);
    assert_eq!((&edited["parts"], &edited["replaced"]), (&block, &true.into()));
}

async fn a_tail_read_checks_its_query(host: Host) {
    let client = host.client();
    add(&client, "t", "m").await;
    for query in [
        "after=x",
        "after=0.1",
        "after=0.1.1",
        "after=0.9999.1",
        "limit=0",
        "limit=67108865",
        "limit=x",
        "x=1",
    ] {
        let target = format!("/v1/threads/t/messages/m/content?{query}");
        client.get(&target).await.expect_problem(400, "invalid");
    }
    client.get("/v1/threads/t/messages/n/content").await.expect_problem(404, "not_found");
    assert_eq!(
        client.get("/v1/threads/t/messages/m/content").await.expect(200)["parts"],
        json!([{"text": "m"}])
    );
}

/// A writer that appends as much as it is allowed, over a connection of its own for each append.
async fn write(client: Client, permits: Arc<Semaphore>) {
    for number in 1..=APPENDS {
        permits.acquire().await.unwrap().forget();
        let body = json!({"number": number, "text": format!("{number:05} of a reply, 32 bytes long.")});
        assert_eq!(body["text"].as_str().unwrap().len(), 32);
        let append = client.call("POST", "/v1/threads/t/drafts/d/append").json(&body);
        append.send_unchecked().await.expect(200);
    }
    client.post("/v1/threads/t/drafts/d/finish", json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_connection_is_cut_50_times_has_each_byte_once() {
    let host = Host::sqlite().await;
    let client = host.client();
    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    let permits = Arc::new(Semaphore::new(0));
    let writer = tokio::spawn(write(host.client(), Arc::clone(&permits)));
    let (mut shown, mut last, mut wire, mut count, mut has_ended) =
        (String::new(), None::<String>, 0, 0, false);
    for cut in 1..=CUTS {
        permits.add_permits(APPENDS / CUTS);
        let mut events = client.stream("/v1/threads/t/stream?after=0", last.as_deref()).await;
        // Every second connection is cut after its first event, the others at the end of what is written.
        let due = if cut % 2 == 0 { cut * APPENDS / CUTS * 32 } else { shown.len() + 1 };
        while shown.len() < due {
            let event = next(&mut events).await;
            match event.event.as_str() {
                "reserved" => assert_eq!(cut, 1),
                "delta" => shown.push_str(&text(&event)),
                other => panic!("{other}: {}", event.data),
            }
            (last, count) = (Some(event.id.clone()), count + 1);
        }
        wire += events.bytes();
    }
    let mut events = client.stream("/v1/threads/t/stream?after=0", last.as_deref()).await;
    while !has_ended {
        let event = next(&mut events).await;
        count += 1;
        has_ended = event.event == "finished";
        if !has_ended {
            shown.push_str(&text(&event));
        }
    }
    wire += events.bytes();
    writer.await.unwrap();
    let message = client.get("/v1/threads/t/messages/d").await.expect(200);
    assert_eq!(message["content"], json!([{"type": "text", "text": shown}]));
    assert_eq!(shown.len(), APPENDS * 32, "no delta came twice");
    let most = shown.len() * 13 / 10 + count * EVENT + (CUTS + 1) * OPENING;
    assert!(wire <= most, "{wire} bytes on the wire for {} of content in {count} events", shown.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_streamed_in_parts_never_reaches_the_stream() {
    let db =
        Persistence::builder().layer(RedactLayer::secrets()).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    let mut events = client.stream("/v1/threads/t/stream?after=0", None).await;
    let secret = ["AKIA", "IOSFODNN7", "EXAMPLE"];
    for (number, part) in ["The key is "].into_iter().chain(secret).chain([" and no more."]).enumerate() {
        draft(&client, "d", "append", json!({"number": number + 1, "text": part})).await;
    }
    draft(&client, "d", "finish", json!({})).await;
    let mut shown = String::new();
    loop {
        let event = next(&mut events).await;
        assert!(!event.data.contains("AKIA"), "{}", event.data);
        match event.event.as_str() {
            "finished" => break,
            "delta" => shown.push_str(&text(&event)),
            _ => {}
        }
    }
    let message = client.get("/v1/threads/t/messages/d").await.expect(200);
    assert_eq!(message["content"], json!([{"type": "text", "text": shown}]));
    assert!(shown.starts_with("The key is ") && shown.ends_with(" and no more."), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_lost_during_the_stream_says_to_load_again() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteOptions::new().changes_kept(2).open(folder.path().join("chat.db")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let host = Host::over(db).await;
    let client = host.client();
    for number in 0..10 {
        add(&client, "t", &number.to_string()).await;
    }
    client.get("/v1/threads/t/stream?after=1").await.expect_problem(410, "too_old");
    let page = client.get("/v1/threads/t/messages").await.expect(200);
    let mut events = client.stream(&format!("/v1/threads/t/stream?after={}", page["position"]), None).await;
    add(&client, "t", "next").await;
    assert_eq!(next(&mut events).await.json()["id"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_cut_with_a_cursor_and_a_quiet_one_has_comments() {
    let options = Options::new().max_lag(50).heartbeat(Duration::from_millis(20));
    let host = Host::memory_with(options).await;
    let client = host.client();
    let thread = host.db.for_tenant("alice".parse().unwrap()).thread("t");
    let mut events = client.stream("/v1/threads/t/stream?after=0", None).await;
    events.next().await.unwrap();
    let comment = events.next().await.unwrap();
    assert_eq!(
        (comment.comment.as_str(), comment.id.as_str(), comment.data.as_str()),
        ("keep-alive", "0", "")
    );
    // The reader takes nothing, until the buffers of the connection are full and the server cuts the stream.
    let large = "x".repeat(100_000);
    let (mut added, mut seen) = (0, 0);
    for _ in 0..300 {
        thread.add(NewMessage::user(&large)).await.unwrap();
        added += 1;
    }
    let last = loop {
        let event = next(&mut events).await;
        match event.event.as_str() {
            "added" => seen += 1,
            "lagged" => {
                assert_eq!(event.json(), json!({"after": event.position()}));
                break event.id;
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(events.next().await, None);
    assert!(seen < added, "the stream was not cut before its end");
    let mut events = client.stream("/v1/threads/t/stream?after=0", Some(&last)).await;
    while seen < added {
        seen += usize::from(next(&mut events).await.event == "added");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_replica_continues_after_the_first_one_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let open = async || {
        let backend = SqliteBackend::open(&path).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    let mut host = Host::over(open().await).await;
    let client = host.client();
    client.post("/v1/threads/t/drafts", json!({"id": "d"})).await.expect(201);
    draft(&client, "d", "append", json!({"number": 1, "text": "before"})).await;
    let mut events = client.stream("/v1/threads/t/stream?after=0", None).await;
    assert_eq!(next(&mut events).await.event, "reserved");
    let first = next(&mut events).await;
    assert_eq!(text(&first), "before");
    host.stop().await;
    assert_eq!(events.next().await, None, "a server that shuts down ends its streams");
    host.db.close().await.unwrap();
    let replica = Host::over(open().await).await;
    let client = replica.client();
    draft(&client, "d", "append", json!({"number": 2, "text": ", and after"})).await;
    draft(&client, "d", "finish", json!({})).await;
    let mut events = client.stream("/v1/threads/t/stream?after=0", Some(&first.id)).await;
    let rest = next(&mut events).await;
    assert_eq!((rest.event.as_str(), text(&rest).as_str()), ("delta", ", and after"));
    assert_eq!(next(&mut events).await.event, "finished");
}

/// The bytes of content are kept, also those between its tokens. A line break in an event would end it.
async fn content_with_line_breaks_is_one_event(host: Host) {
    let client = host.client();
    let body = "{\"role\": \"user\", \"content\": [\n  {\"type\": \"text\",\r\n\r\n \"text\": \"a\\nb\"}\n], \"metadata\": {\"x\": [1,\n2]}}";
    let call = client.call("POST", "/v1/threads/t/messages").header("content-type", "application/json");
    call.body(body).send().await.expect(201);
    add(&client, "t", "after").await;
    let mut events = client.stream("/v1/threads/t/stream?after=0", None).await;
    let mut added = Vec::new();
    while added.len() < 2 {
        let event = next(&mut events).await;
        if event.event == "added" {
            added.push((event.json()["content"].clone(), event.json()["metadata"].clone()));
        }
    }
    let block = |text: &str| json!([{"type": "text", "text": text}]);
    assert_eq!(added, [(block("a\nb"), json!({"x": [1, 2]})), (block("after"), json!({}))]);
}
