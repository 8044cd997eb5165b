//! `find`, and the declaration of the fields that it needs.

use std::{fs, path::Path};

use throughline::{
    IndexedMetadata, Metadata, NewMessage, NewReservation, Persistence, Role, Timestamp,
    sqlite::SqliteOptions,
};

use crate::{
    kit::{files, run_on},
    server::Server,
};

async fn open_indexed(path: &Path, names: &[&str]) -> Persistence {
    let options = SqliteOptions::new().index_metadata(IndexedMetadata::new(names.to_vec()).unwrap());
    Persistence::builder().backend(options.open(path).await.unwrap()).build().unwrap()
}

fn metadata(json: &str) -> Metadata {
    serde_json::from_str(json).unwrap()
}

/// Adds a message that was created at this second.
async fn add(db: &Persistence, thread: &str, id: &str, second: i64, json: &str) {
    let message = NewMessage::user(&format!("the text of {id}"))
        .with_id(id.parse().unwrap())
        .with_metadata(metadata(json))
        .created_at(Timestamp::from_micros(second * 1_000_000));
    db.thread(thread).add(message).await.unwrap();
}

/// A closed store whose host has declared `orderId` and `turn`.
async fn store(path: &Path) {
    let db = open_indexed(path, &["orderId", "turn"]).await;
    add(&db, "trip", "m-1", 1, r#"{"orderId":"A-17","turn":1}"#).await;
    add(&db, "telegram:42", "m-2", 2, r#"{"orderId":"A-17","turn":"1"}"#).await;
    add(&db, "trip", "m-3", 3, r#"{"orderId":"A-18"}"#).await;
    let open = NewReservation::new(Role::Assistant)
        .with_id("open".parse().unwrap())
        .with_metadata(metadata(r#"{"turn":true}"#));
    drop(db.thread("trip").reserve(open).await.unwrap());
    let alice = db.for_tenant("alice".parse().unwrap());
    add(&alice, "diary", "m-4", 4, r#"{"orderId":"A-17"}"#).await;
    db.close().await.unwrap();
}

/// The ids of the messages of a JSON document.
fn found(path: &Path, arguments: &[&str]) -> Vec<String> {
    let ran = run_on(path, &[&["find", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}: {ran:?}");
    let page = ran.json();
    assert_eq!((&page["command"], &page["damaged"]), (&"find".into(), &serde_json::json!([])));
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_moved_store_indexes_the_fields_of_the_first_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("chat.db"), folder.path().join("new.db"));
    store(&path).await;
    // The second store keeps a field of its own.
    open_indexed(&new, &["topic"]).await.close().await.unwrap();
    let follow = ["move", "follow", "--until-equal", "--to", new.to_str().unwrap()];
    for _ in 0..2 {
        let followed = run_on(&path, &follow);
        assert_eq!(followed.code, 0, "{followed:?}");
        assert_eq!(found(&new, &["orderId=A-17"]), ["m-2", "m-1"]);
        assert_eq!(found(&new, &["turn:=true", "--visibility", "all"]), ["open"]);
        assert_eq!(found(&new, &["topic=none"]), [""; 0]);
    }
    let other = run_on(&path, &["find", "topic=none"]);
    assert_eq!(other.code, 1, "the first store gets no field: {other:?}");
}

#[tokio::test]
async fn messages_are_found_by_the_fields_that_the_store_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let before = files(folder.path());
    for (arguments, due) in [
        (&["orderId=A-17"][..], &["m-2", "m-1"][..]),
        (&["orderId=A-17", "--order", "oldest"], &["m-1", "m-2"]),
        (&["orderId=A-17", "--thread", "trip"], &["m-1"]),
        (&["orderId:=\"A-17\"", "--tenant", "alice"], &["m-4"]),
        (&["turn=1"], &["m-2"]),
        (&["turn:=1"], &["m-1"]),
        (&["turn:=true"], &[]),
        (&["turn:=true", "--visibility", "settled"], &[]),
        (&["turn:=true", "--visibility", "all"], &["open"]),
        (&["orderId=absent"], &[]),
    ] {
        assert_eq!(found(&path, arguments), due, "{arguments:?}");
    }
    assert_eq!(files(folder.path()), before, "a find changes no file");
}

#[tokio::test]
async fn a_page_of_a_find_names_the_cursor_of_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let first = run_on(&path, &["find", "orderId=A-17", "-n", "1"]);
    assert_eq!(
        (first.code, first.out.as_str()),
        (
            0,
            "telegram:42 #1 user  1970-01-01 00:00:02  m-2\n    the text of m-2\n\
             There are more: --after 2000000:1:telegram:42\n"
        )
    );
    let second = run_on(&path, &["find", "orderId=A-17", "-n", "1", "--after", "2000000:1:telegram:42"]);
    assert_eq!(
        (second.code, second.out.as_str()),
        (0, "trip #1 user  1970-01-01 00:00:01  m-1\n    the text of m-1\n")
    );
    let end = run_on(&path, &["find", "orderId=A-17", "--after", "1000000:1:trip"]);
    assert_eq!((end.code, end.out.as_str()), (0, "There is no further such message.\n"));
    let none = run_on(&path, &["find", "orderId=absent"]);
    assert_eq!((none.code, none.out.as_str()), (0, "There is no such message.\n"));
    let json = run_on(&path, &["find", "orderId=A-17", "-n", "1", "--json"]).json();
    assert_eq!((&json["next"], &json["tenant"]), (&"2000000:1:telegram:42".into(), &"default".into()));
}

#[tokio::test]
async fn a_find_by_a_field_that_is_not_declared_names_the_declared_ones_and_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let ran = run_on(&path, &["find", "color=red"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("the metadata field `color` is not indexed"), "{ran:?}");
    assert!(ran.err.contains("(indexed: orderId, turn)"), "{ran:?}");
    let help = "help: index the field: `throughline serve --index-metadata color`\n";
    assert!(ran.err.ends_with(help), "{ran:?}");
    let json = run_on(&path, &["find", "color=red", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["effect"]),
        (&"unsupported".into(), &"notApplied".into())
    );
}

#[tokio::test]
async fn an_import_declares_fields_and_later_commands_keep_them() {
    let folder = tempfile::tempdir().unwrap();
    let (path, chats) = (folder.path().join("chat.db"), folder.path().join("chats.ndjson"));
    store(&path).await;
    let exported = run_on(&path, &["export", "ndjson", chats.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let new = folder.path().join("new.db");
    let import = ["import", "auto", chats.to_str().unwrap(), "--index-metadata", "orderId"];
    let imported = run_on(&new, &import);
    assert!(matches!(imported.code, 0 | 3), "{imported:?}");
    assert_eq!(found(&new, &["orderId=A-17"]), ["m-2", "m-1"]);
    // A command that writes and declares nothing.
    let retained = run_on(&new, &["retain", "--keep", "1", "--apply"]);
    assert_eq!(retained.code, 0, "{retained:?}");
    assert_eq!(found(&new, &["orderId=A-17"]), ["m-2"]);
    assert_eq!(run_on(&new, &["find", "turn:=1"]).code, 1);
    let doctor = run_on(&new, &["doctor"]);
    assert!(doctor.out.contains("\nmetadata   indexed: orderId\n"), "{doctor:?}");
}

#[tokio::test]
async fn a_server_declares_fields_answers_finds_by_all_and_completes_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open_indexed(&path, &[]).await;
    add(&db, "trip", "m-1", 1, r#"{"orderId":"A-17","turn":1}"#).await;
    db.close().await.unwrap();
    let doctor = run_on(&path, &["doctor", "--json"]).json();
    assert_eq!(doctor["indexedMetadata"], serde_json::json!([]));
    // As a writer that ended directly after it had declared the field.
    let sql = "INSERT INTO metadata_names (name, recovered) VALUES ('turn', 0)";
    rusqlite::Connection::open(&path).unwrap().execute(sql, []).unwrap();
    let before = files(folder.path());
    let ran = run_on(&path, &["find", "turn:=1"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{ran:?}");
    assert!(ran.err.contains("the index of the metadata field `turn` is not complete yet"), "{ran:?}");
    assert!(ran.err.contains("help: ") && ran.err.contains("`throughline serve`"), "{ran:?}");
    let doctor = run_on(&path, &["doctor", "--json"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    let doctor = doctor.json();
    assert_eq!(doctor["indexedMetadata"], serde_json::json!([{"name": "turn", "complete": false}]));
    assert_eq!(doctor["findings"][0]["code"], "metadata_index_incomplete");
    assert_eq!(files(folder.path()), before);

    let server = Server::start_with(&path, &["--index-metadata", "orderId"]);
    for (query, id) in [("metadata%5BorderId%5D=%22A-17%22", "m-1"), ("metadata%5Bturn%5D=1", "m-1")] {
        let page = loop {
            let (status, page) = server.get(&format!("/v1/messages?{query}")).unwrap();
            // The writer still adds the stored message to the index.
            if status != 423 {
                assert_eq!(status, 200, "{page}");
                break page;
            }
        };
        assert_eq!((&page["messages"][0]["id"], page.get("next")), (&id.into(), None), "{page}");
    }
    // Next to the live writer.
    assert_eq!(found(&path, &["orderId=A-17"]), ["m-1"]);
    assert_eq!(found(&path, &["turn:=1"]), ["m-1"]);
    drop(server);
    let doctor = run_on(&path, &["doctor", "--json"]).json();
    let complete = |name: &str| serde_json::json!({"name": name, "complete": true});
    assert_eq!(doctor["indexedMetadata"], serde_json::json!([complete("orderId"), complete("turn")]));
}

#[tokio::test]
async fn more_fields_than_a_store_can_index_are_refused_with_the_stored_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (path, chats) = (folder.path().join("chat.db"), folder.path().join("chats"));
    fs::create_dir(&chats).unwrap();
    let names: Vec<String> = (10..26).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    open_indexed(&path, &names).await.close().await.unwrap();
    let import = ["import", "chat-folder", chats.to_str().unwrap(), "--index-metadata"];
    let ran = run_on(&path, &[&import[..], &["f26"]].concat());
    assert_eq!(ran.code, 2, "{ran:?}");
    let error = "17 metadata fields to index are more than the 16 allowed: the store has f10, f11";
    assert!(ran.err.contains(error) && ran.err.contains("`drop_indexed_metadata`"), "{ran:?}");
    assert_eq!(run_on(&path, &[&import[..], &["f25"]].concat()).code, 0, "a field that the store has");
}

#[tokio::test]
async fn no_control_character_of_a_found_message_reaches_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open_indexed(&path, &["kind"]).await;
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m zebra \u{202e}gnp.exe ".repeat(9);
    let message = NewMessage::user(&hostile).with_metadata(metadata(r#"{"kind":"\u001b[2J"}"#));
    db.thread("t\u{202e}x").add(message).await.unwrap();
    db.close().await.unwrap();
    for arguments in
        [&["find", "kind=\u{1b}[2J"][..], &["find", "kind=\u{1b}[2J", "--json"], &["find", "\u{1b}[2J=x"]]
    {
        let ran = run_on(&path, arguments);
        let is_found = arguments[1].starts_with("kind");
        assert_eq!((ran.code == 0, ran.out.contains("zebra")), (is_found, is_found), "{ran:?}");
        let is_bad =
            |char: &char| (char.is_control() && *char != '\n') || ('\u{202a}'..='\u{202e}').contains(char);
        assert_eq!((ran.out + &ran.err).chars().find(is_bad), None, "{arguments:?}");
    }
    let shown = run_on(&path, &["find", "kind=\u{1b}[2J"]);
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80), "{shown:?}");
}
