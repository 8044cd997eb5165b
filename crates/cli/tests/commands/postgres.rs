//! Commands on a Postgres store.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use serde_json::{Value, json};
use throughline::{
    IndexedMetadata, Metadata, NewMessage, NewReservation, Persistence, Role, backend::search::Tokenizer,
    postgres::PostgresBackend, search::SearchMessages,
};
use throughline_postgres_cluster::{Cluster, Installation};

use crate::{
    kit::{Ran, Yesterday, program, run, run_on},
    server::Server,
};

/// Starts a server; prints a notice where PostgreSQL is not installed.
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn cluster() -> Option<Cluster> {
    let installation = Installation::find();
    if installation.is_none() {
        println!("SKIPPED: commands on a Postgres store (PostgreSQL is not installed)");
    }
    installation.map(|installation| Cluster::start(&installation).unwrap())
}

/// The number of schemas of a store.
fn schemas(cluster: &Cluster) -> String {
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'throughline'";
    cluster.run("postgres", sql).unwrap().trim().to_owned()
}

async fn open(url: &str) -> Persistence {
    let indexed = IndexedMetadata::new(["orderId"]).unwrap();
    let backend = PostgresBackend::builder().search(true).index_metadata(indexed).open(url).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Waits until the store has a full-text index with this word. Without one, other programs do not know that the host wants one.
async fn wait_for_index(db: &Persistence, word: &str) {
    loop {
        let found = db.search(SearchMessages::new(word, 1)).await.unwrap();
        // A hit can be found before the index is complete.
        if !found.hits.is_empty() && found.indexed.get() > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// Ends the writer of a test, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The URL for a role that may only select from the store.
fn inspector(cluster: &Cluster) -> String {
    let sql = "CREATE ROLE inspector LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA throughline TO inspector; \
               GRANT SELECT ON ALL TABLES IN SCHEMA throughline TO inspector";
    cluster.run("postgres", sql).unwrap();
    let url = cluster.url("postgres");
    let (_, address) = url.split_once('@').unwrap();
    format!("postgres://inspector:p@{address}")
}

#[tokio::test]
async fn a_command_creates_no_store_in_a_database_without_one() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    for arguments in [&["threads"][..], &["verify"], &["repair"], &["retain", "--keep", "1", "--apply"]] {
        let ran = run(&[&["--store", &url, "--json"], arguments].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["code"], "not_found", "{ran:?}");
        assert_eq!(schemas(&cluster), "0", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_role_that_may_only_select_runs_every_reading_command_next_to_a_live_writer() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    let db = open(&url).await;
    let trip = db.thread("trip");
    let mut metadata = Metadata::new();
    metadata.set("orderId", "A-17").unwrap();
    for text in ["Where to? Lisbon", "To the sea", "By train"] {
        trip.add(NewMessage::user(text).with_metadata(metadata.clone())).await.unwrap();
    }
    wait_for_index(&db, "lisbon").await;
    db.close().await.unwrap();
    let inspector = inspector(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Path::new(&url));
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut added = 0;
            while !stopped.load(Relaxed) {
                assert_eq!(
                    server.add("busy", &format!("w-{added}"), "written by a live process").unwrap(),
                    201
                );
                added += 1;
            }
            added
        });
        let stop = StopOnDrop(&stopped);
        for (arguments, code) in [
            (&["threads"][..], 0),
            (&["show", "trip"], 0),
            (&["show", "trip", "--format", "markdown", "--last", "1"], 0),
            (&["search", "lisbon"], 0),
            (&["find", "orderId=A-17"], 0),
            (&["tail", "trip"], 0),
            (&["tail", "--after", "0"], 0),
            (&["doctor"], 0),
            (&["verify"], 0),
            (&["stats"], 0),
            (&["repair"], 0),
            (&["retain", "--keep", "2", "--thread", "trip"], 0),
            (&["purge", "--all-tenants"], 0),
            (&["audit", "log"], 0),
            (&["export", "ndjson", "chats.ndjson"], 0),
            (&["export", "markdown", "chats.md"], 0),
        ] {
            for json in [&[][..], &["--json"]] {
                let mut command = program();
                command.current_dir(folder.path()).args(["--store", &inspector]).args(arguments).args(json);
                let ran = Ran::from(command.output().unwrap());
                assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{arguments:?}: {ran:?}");
                assert!(!ran.out.contains("inspector:p"), "{arguments:?}: {ran:?}");
                if !json.is_empty() {
                    assert!(ran.lines().iter().all(|document| document["version"] == 1), "{ran:?}");
                }
            }
        }
        drop(stop);
        assert!(writer.join().unwrap() > 0);
    });
    let on = |arguments: &[&str]| run(&[&["--store", &inspector, "--json"], arguments].concat()).json();
    assert_eq!(on(&["search", "lisbon"])["hits"][0]["thread"], "trip");
    let page = on(&["find", "orderId=A-17", "--order", "oldest", "--limit", "2"]);
    assert_eq!(page["messages"][0]["content"][0]["text"], "Where to? Lisbon");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(2));
    // The server that runs next to it has kept the field of the host, and finds by it.
    let (status, found) = server.get("/v1/messages?metadata%5BorderId%5D=%22A-17%22").unwrap();
    assert_eq!((status, found["messages"].as_array().map(Vec::len)), (200, Some(3)));
    let verified = on(&["verify"]);
    assert_eq!((&verified["sound"], &verified["method"]), (&true.into(), &"reads".into()));
    assert_eq!(verified["checked"]["threads"], 2);
    let stats = on(&["stats"]);
    assert_eq!(stats["messages"], verified["checked"]["messages"]);
    assert_eq!(on(&["retain", "--keep", "2"])["named"].as_array().unwrap().len(), 2);
    let denied = run(&["--store", &inspector, "--json", "retain", "--keep", "1", "--apply"]);
    assert_eq!(denied.code, 1, "a missing right does not pass with time: {denied:?}");
    let error: Value = serde_json::from_str(&denied.err).unwrap();
    assert_eq!(error["error"]["code"], "denied");
}

#[tokio::test]
async fn tail_shows_each_change_of_a_postgres_store_once_while_its_writers_are_killed() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    open(&url).await.close().await.unwrap();
    let inspector = inspector(&cluster);
    let mut command = program();
    command.args(["--store", &inspector, "tail", "--follow", "--json", "--after", "0"]);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&shown.next().unwrap().unwrap()).unwrap();
    for killed in 0..5 {
        let server = Server::start(Path::new(&url));
        for number in 0..3 {
            let id = format!("w{killed}-{number}");
            assert_eq!(server.add("trip", &id, "a message").unwrap(), 201);
            let change = next();
            assert_eq!(
                (&change["kind"]["added"]["id"], &change["message"]["content"][0]["text"]),
                (&id.into(), &"a message".into()),
                "{change}"
            );
        }
        server.kill();
    }
    // A reply as it grows, which the program shows in parts.
    let db = open(&url).await;
    let mut reply = db.thread("trip").reserve(Role::Assistant).await.unwrap();
    assert!(next()["kind"]["reserved"].is_object());
    for (part, replaced) in [("Hel", true), ("lo!", false)] {
        reply.append(part).await.unwrap();
        reply.flush().await.unwrap();
        assert_eq!(next()["content"], json!({ "replaced": replaced, "parts": [{ "text": part }] }));
    }
    reply.finish().await.unwrap();
    assert!(next()["kind"]["finished"].is_object());
    db.close().await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(tail.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn commands_that_write_keep_the_index_and_show_their_plan_first() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    let backend = PostgresBackend::builder().search(true).tokenizer(Tokenizer::Cjk).open(&url).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    for text in ["Where to?", "東京タワーへ", "By train"] {
        db.thread("trip").add(NewMessage::user(text)).await.unwrap();
    }
    wait_for_index(&db, "京タ").await;
    db.close().await.unwrap();
    let on = |arguments: &[&str]| {
        let ran = run(&[&["--store", &url, "--json"], arguments].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    let threads = on(&["threads"]).json();
    assert_eq!(
        (&threads["threads"][0]["thread"], &threads["threads"][0]["messages"]),
        (&"trip".into(), &3.into())
    );
    let changes = on(&["tail", "--after", "0"]).lines();
    let texts: Vec<_> = changes.iter().map(|change| &change["message"]["content"][0]["text"]).collect();
    assert_eq!(texts, ["Where to?", "東京タワーへ", "By train"]);
    // A plan opens the store to be read, and --apply opens it to be written.
    let messages = || on(&["threads"]).json()["threads"][0]["messages"].as_u64().unwrap();
    assert_eq!(on(&["retain", "--keep", "2"]).json()["messages"], 1);
    assert_eq!(messages(), 3);
    assert_eq!(on(&["retain", "--keep", "2", "--apply"]).json()["messages"], 1);
    assert_eq!(messages(), 2);
    // With another tokenizer the index would be built again, and would not find a part of a sequence.
    let found = on(&["search", "京タ"]).json();
    assert_eq!(found["hits"][0]["thread"], "trip", "{found}");
    assert_ne!(found["indexed"], 0);
}

#[tokio::test]
async fn repair_abandons_the_expired_replies_of_a_postgres_store_and_verify_names_its_damaged_rows() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    let store = Path::new(&url);
    let backend = PostgresBackend::open(&url).await.unwrap();
    let db = Persistence::builder().clock(Yesterday).backend(backend).build().unwrap();
    let expired = NewReservation::new(Role::Assistant).with_id("expired-1".parse().unwrap());
    let mut reply = db.thread("trip").reserve(expired).await.unwrap();
    reply.append("half a rep").await.unwrap();
    reply.flush().await.unwrap();
    drop(reply);
    for id in ["m-1", "m-2"] {
        let message = NewMessage::user("hello").with_id(id.parse().unwrap());
        db.thread("other").add(message).await.unwrap();
    }
    db.close().await.unwrap();
    assert_eq!(run_on(store, &["doctor"]).code, 3);
    let plan = run_on(store, &["repair", "--json"]);
    assert_eq!((plan.code, &plan.json()["expiredReplies"]), (3, &1.into()));
    let applied = run_on(store, &["repair", "--apply", "--json"]);
    assert_eq!((applied.code, &applied.json()["abandonedReplies"]), (0, &1.into()), "{applied:?}");
    let shown = run_on(store, &["show", "trip", "--json"]).json();
    assert_eq!(
        (&shown["messages"][0]["state"], &shown["messages"][0]["id"]),
        (&"abandoned".into(), &"expired-1".into())
    );

    cluster.run("postgres", "UPDATE throughline.messages SET metadata = '{' WHERE id = 'm-1'").unwrap();
    cluster.run("postgres", "UPDATE throughline.threads SET entry = '{' WHERE thread = 'trip'").unwrap();
    let verified = run_on(store, &["verify", "--json"]);
    assert_eq!(verified.code, 3, "{verified:?}");
    let verified = verified.json();
    let mut parts: Vec<_> = verified["damaged"]
        .as_array()
        .unwrap()
        .iter()
        .map(|damaged| (damaged["part"].clone(), damaged["thread"].clone(), damaged["message"].clone()))
        .collect();
    parts.sort_by_key(|(part, ..)| part.to_string());
    assert_eq!(
        parts,
        [("message".into(), "other".into(), "m-1".into()), ("summary".into(), "trip".into(), Value::Null)]
    );
    let repaired = run_on(store, &["repair", "--apply", "--json"]);
    assert_eq!(repaired.code, 3, "a damaged message stays: {repaired:?}");
    let repaired = repaired.json();
    assert_eq!((&repaired["rebuiltSummaries"], &repaired["otherDamage"]), (&1.into(), &1.into()));
    assert_eq!(repaired["after"]["damaged"].as_array().unwrap().len(), 1);
}

#[test]
fn a_command_for_files_names_its_alternative() {
    let url = Path::new("postgres://db.example/app");
    for (arguments, alternative) in [
        (&["backup", "copy.db"][..], "`pg_dump`"),
        (&["restore", "copy.db"], "`pg_restore`"),
        (&["compact"], "`VACUUM FULL`"),
        (&["repair", "--rebuild-into", "copy.db"], "`REINDEX SCHEMA throughline`"),
    ] {
        let ran = run_on(url, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(alternative), "{arguments:?}: {ran:?}");
    }
}
