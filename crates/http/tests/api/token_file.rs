//! Tokens in a file.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use throughline_core::{NewMessage, Persistence};
use throughline_http::{BearerTokens, Options, TokenFile};
use throughline_layers::scope::ScopeLayer;
use throughline_memory::MemoryBackend;

use crate::support::{Client, Host};

fn line(name: &str, token: &str, members: &str) -> String {
    format!(r#"{{"name":"{name}","hash":"{}"{members}}}"#, BearerTokens::hash(token))
}

/// Replaces the file, as a host should: by a rename.
fn write(path: &Path, lines: &[String]) {
    let new = path.with_extension("new");
    fs::write(&new, lines.join("\n")).unwrap();
    set_mode(&new, 0o640);
    fs::rename(&new, path).unwrap();
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

fn token(host: &Host, token: &'static str) -> Client {
    Client::new(host.address).with_token(token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_narrowed_to_its_threads_verbs_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.jsonl");
    write(
        &path,
        &[
            "# the tokens of the test".to_owned(),
            String::new(),
            line("all", "all", r#","tenant":"alice""#),
            line("one", "one", r#","tenant":"alice","thread":"t""#),
            line("under", "under", r#","tenant":"alice","threadsUnder":"telegram:""#),
            line("reader", "reader", r#","tenant":"alice","verbs":["read"],"actor":"reader@web""#),
            line("past", "past", r#","tenant":"alice","expires":1000000000"#),
            line("later", "later", r#","tenant":"alice","expires":4102444800"#),
            line("operator", "operator", r#","tenant":"ops","operator":true"#),
        ],
    );
    let layer = ScopeLayer::new();
    let file = TokenFile::open_scoped(&path, layer.authority()).unwrap();
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, file, Options::new()).await;
    let message = |text: &str| json!({"role": "user", "text": text});
    for (name, thread, status) in [
        ("all", "t", 201),
        ("all", "telegram:1", 201),
        ("one", "t", 201),
        ("one", "u", 403),
        ("under", "telegram:1", 201),
        ("under", "t", 403),
        ("reader", "t", 403),
        ("past", "t", 401),
        ("later", "t", 201),
        ("unknown", "t", 401),
    ] {
        let target = format!("/v1/threads/{}/messages", thread.replace(':', "%3A"));
        let answer = token(&host, name).post(&target, message(name)).await;
        assert_eq!(answer.status, status, "{name} {thread}: {}", answer.text());
    }
    assert_eq!(token(&host, "reader").get("/v1/threads/t/messages").await.expect(200)["lastSeq"], 3);
    token(&host, "one").get("/v1/threads").await.expect_problem(403, "denied");
    assert_eq!(token(&host, "operator").get("/metrics").await.status, 200);
    token(&host, "all").get("/metrics").await.expect_problem(403, "denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_applies_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.jsonl");
    let (first, second) =
        (line("first", "one", r#","tenant":"alice""#), line("second", "two", r#","tenant":"bob""#));
    write(&path, std::slice::from_ref(&first));
    let layer = ScopeLayer::new();
    let file = TokenFile::open_scoped(&path, layer.authority()).unwrap().check_every(Duration::ZERO);
    let file = Arc::new(file);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db, Arc::clone(&file), Options::new()).await;
    let (one, two) = (token(&host, "one"), token(&host, "two"));
    one.post("/v1/threads", json!({"id": "t"})).await.expect(201);
    two.get("/v1/threads").await.expect_problem(401, "unauthenticated");
    let mut kept = one.stream("/v1/changes?after=0", None).await;
    assert!(kept.next_with_data().await.is_some());

    // A token whose line stays keeps its stream.
    write(&path, &[second.clone(), first]);
    two.get("/v1/threads").await.expect(200);
    one.post("/v1/threads", json!({"id": "u"})).await.expect(201);
    assert!(kept.next_with_data().await.is_some());

    // A removed one is refused, and its stream ends.
    write(&path, std::slice::from_ref(&second));
    two.post("/v1/threads", json!({"id": "x"})).await.expect(201);
    one.get("/v1/threads").await.expect_problem(401, "unauthenticated");
    let end = kept.next_with_data().await.unwrap();
    assert_eq!((end.event.as_str(), &end.json()["code"]), ("problem", &json!("denied")));

    // A bad line is refused, and the others apply.
    write(&path, &[line("bad", "one", r#","tenant":"alice","verbs":["reed"]"#), second.clone()]);
    one.get("/v1/threads").await.expect_problem(401, "unauthenticated");
    two.get("/v1/threads").await.expect(200);
    let error = file.reload().unwrap_err();
    assert_eq!((error.bad_lines()[0].number, error.bad_lines()[0].name.as_deref()), (1, Some("bad")));

    // A file that cannot be used is not a reason to know no token.
    fs::remove_file(&path).unwrap();
    two.get("/v1/threads").await.expect_problem(503, "unavailable");
    write(&path, &[second]);
    two.get("/v1/threads").await.expect(200);
    assert_eq!(file.reload(), Ok(1));
}

#[test]
fn a_bad_file_is_refused_by_the_name_of_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.jsonl");
    let absent = TokenFile::open(&path).unwrap_err();
    assert!(absent.to_string().contains("it cannot be read: "), "{absent}");
    write(
        &path,
        &[
            line("good", "1", r#","tenant":"alice""#),
            "secret".to_owned(),
            line("tenantless", "2", ""),
            line("twice", "1", r#","tenant":"bob""#),
            line("narrow", "3", r#","tenant":"alice","verbs":["read"]"#),
        ],
    );
    let error = TokenFile::open(&path).unwrap_err();
    let lines: Vec<String> = error.bad_lines().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "line 2: it is not a JSON object at column 1",
            "line 3 (\"tenantless\"): missing field `tenant` at column 95",
            "line 4 (\"twice\"): an earlier line has the same hash",
            "line 5 (\"narrow\"): no layer enforces `thread`, `threadsUnder` or `verbs`: open the file with the authority of \
             the layer `scope`",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_change_or_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.jsonl");
    write(&path, &[line("a", "1", r#","tenant":"alice""#)]);
    for mode in [0o660, 0o644, 0o642, 0o666] {
        set_mode(&path, mode);
        let error = TokenFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("its permissions {mode:03o} let")), "{error}");
    }
    for mode in [0o600, 0o640, 0o400] {
        set_mode(&path, mode);
        assert_eq!(TokenFile::open(&path).unwrap().reload(), Ok(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_a_removed_token_end_without_another_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.jsonl");
    let (kept, removed) =
        (line("kept", "kept", r#","tenant":"alice""#), line("removed", "removed", r#","tenant":"alice""#));
    write(&path, &[kept.clone(), removed]);
    let file = TokenFile::open(&path).unwrap().check_every(Duration::ZERO);
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let host = Host::of(db.clone(), file, Options::new().heartbeat(Duration::from_millis(20))).await;
    let (other, client) = (token(&host, "kept"), token(&host, "removed"));
    let ticket = client.call("POST", "/v1/tickets").send().await.expect(201);
    let target = format!("/v1/changes?after=0&ticket={}", ticket["ticket"].as_str().unwrap());
    let mut others = other.stream("/v1/changes?after=0", None).await;
    let mut streams = [
        client.stream("/v1/changes?after=0", None).await,
        client.stream("/v1/threads/t/stream?after=0", None).await,
        Client::new(host.address).stream(&target, None).await,
    ];
    write(&path, &[kept]);
    for stream in &mut streams {
        let end = stream.next_with_data().await.unwrap();
        assert_eq!((end.event.as_str(), &end.json()["code"]), ("problem", &json!("unauthenticated")));
    }
    // The token that stays keeps its stream.
    db.for_tenant("alice".parse().unwrap()).thread("t").add(NewMessage::user("x")).await.unwrap();
    assert!(others.next_with_data().await.unwrap().json()["kind"].is_object());
}
