//! Exports of threads to a folder of chats.

use std::fs;

use throughline_core::{
    Content, MetadataPatch, NewMessage, NewReservation, NewThread, Persistence, Role, ids::AttachmentKey,
    messages::UpdateMode,
};
use throughline_transfer::{ChatFolder, ChatId, FindingKind, TransferError};

use crate::support::{ID, OTHER, catalog, chat, entry, everything, files, header, lines, store, turn};

async fn round(db: &Persistence) -> Persistence {
    let folder = tempfile::tempdir().unwrap();
    ChatFolder::create(folder.path()).unwrap().export(db).await.unwrap();
    let other = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&other).await.unwrap();
    assert_eq!((&report.skipped[..], report.warnings.len()), (&[][..], 0), "{:?}", report.warnings);
    other
}

#[tokio::test]
async fn an_imported_folder_is_exported_with_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let spaced = r#"{"type": "turn", "schema_version": 1, "seq": 3, "created": "2024-03-01T00:00:03.000001+00:00", "question": {"text": "\u00e9"}, "answer": "\ud83e\udd80", "cost": 1.10}"#;
    let newer = r#"{"schema_version":99,"type":"turn","x":[ 1 ]}"#;
    let one = lines(&[
        header(ID),
        turn(1, "q", "a \u{0}\n"),
        turn(2, "\u{2028}", ""),
        spaced.to_owned(),
        newer.to_owned(),
        turn(4, "q", "a"),
        turn(4, "again", "a"),
        r#"{"type":"turn","schema_version":1,"seq":9,"created":"?","answer":"no question"}"#.to_owned(),
        r#"{"type":"turn","schema_version":1,"seq":10,"created":"2024-03-01T00:00:10Z","question":"no answer"}"#
            .to_owned(),
    ]);
    let two = lines(&[header(OTHER).replace('}', ",\"x\":1.10}"), turn(1, "only", "one")]);
    chat(folder.path(), ID, &one);
    chat(folder.path(), OTHER, &two);
    let pinned = entry(OTHER, "two", 1, "only").replace('}', r#", "pinned" : 1.10}"#);
    catalog(folder.path(), &[entry(ID, "one", 8, "no answer").replace("00:08", "00:10"), pinned.clone()]);
    let db = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    ChatFolder::create(out.path())
        .unwrap()
        .with_catalog_fields(report.catalog_fields)
        .export(&db)
        .await
        .unwrap();
    let written = files(out.path());
    let of = |id: &str| String::from_utf8(written[&out.path().join(id).join("chat.jsonl")].clone()).unwrap();
    assert_eq!(of(ID), one);
    assert_eq!(of(OTHER), two);
    let catalog = fs::read_to_string(out.path().join("catalog.json")).unwrap();
    assert!(catalog.contains(&pinned), "{catalog}");
    assert!(catalog.contains(r#""title":"one""#) && !catalog.contains(r#""labels""#), "{catalog}");
    let again = store();
    ChatFolder::open(out.path()).unwrap().import(&again).await.unwrap();
    assert_eq!(everything(&again).await, everything(&db).await);
}

#[tokio::test]
async fn data_that_a_turn_cannot_express_is_exported_and_imported() {
    let db = store();
    let awkward = NewThread::new()
        .with_id("telegram:42\u{2028}é".parse().unwrap())
        .with_title("Untitled chat".parse().unwrap())
        .with_owner("o".parse().unwrap())
        .with_labels(throughline_core::Labels::new().with("project", "atlas").unwrap())
        .with_metadata(serde_json::from_str("{\"n\":1.10,\"lines\":[1,\n2]}").unwrap());
    db.create_thread(awkward).await.unwrap();
    let thread = db.thread("telegram:42\u{2028}é");
    thread.add(NewMessage::new(Role::System, Content::text("rules"))).await.unwrap();
    thread
        .add(NewMessage::user("q").with_metadata(serde_json::from_str(r#"{"a":1.10}"#).unwrap()))
        .await
        .unwrap();
    let blocks =
        Content::from_json("[{\"type\":\"tool_use\",\n\"id\":\"1\"},{\"type\":\"text\",\"text\":\"x\"}]")
            .unwrap();
    thread.add(NewMessage::new(Role::Assistant, blocks)).await.unwrap();
    thread.add(NewMessage::new(Role::Tool, Content::from_json("[]").unwrap())).await.unwrap();
    let named = NewMessage::assistant("a").with_attachments(["a.png".parse::<AttachmentKey>().unwrap()]);
    let last = thread.add(named).await.unwrap().message.id;
    thread.edit(last.clone(), Content::text("edited")).await.unwrap();
    thread.add(NewMessage::user("and?")).await.unwrap();
    for reason in [None, Some("because".to_owned())] {
        let draft = thread.reserve(NewReservation::new(Role::Assistant)).await.unwrap();
        let id = draft.id().clone();
        drop(draft);
        let change = throughline_core::messages::ContentChange::Append(throughline_core::Delta::text("so"));
        thread.update_content(id, change, UpdateMode::Abandon { reason }).await.unwrap();
    }
    thread.archive(true).await.unwrap();
    thread.fork(&last, NewThread::new().with_id(ID.to_uppercase().parse().unwrap())).await.unwrap();
    thread.fork(&last, NewThread::new().with_id(ID.parse().unwrap())).await.unwrap();
    assert_eq!(everything(&round(&db).await).await, everything(&db).await);
}

#[tokio::test]
async fn a_listed_thread_without_messages_is_listed_after_an_import() {
    let db = store();
    db.create_thread(NewThread::new().with_id("t".parse().unwrap()).with_title("Empty".parse().unwrap()))
        .await
        .unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.thread("t").clear().await.unwrap();
    let back = everything(&round(&db).await).await;
    let (entry, rows) = &back["t"];
    assert_eq!((entry.listed, entry.messages, entry.title.as_str(), rows.len()), (true, 0, "Empty", 0));
}

#[tokio::test]
async fn a_changed_imported_turn_keeps_its_unknown_fields() {
    let folder = tempfile::tempdir().unwrap();
    let spaced = turn(1, "q", "a").replace("}", ", \"cost\": 1.10}");
    chat(folder.path(), ID, lines(&[header(ID), spaced, turn(2, "q", "a")]));
    catalog(folder.path(), &[entry(ID, "t", 2, "q").replace('}', r#","pinned":1.10}"#)]);
    let db = store();
    ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    let thread = db.thread(ID);
    thread.edit("turn-1-answer".parse().unwrap(), Content::text("changed")).await.unwrap();
    thread.add(NewMessage::user("and?")).await.unwrap();
    thread.rename("renamed".parse().unwrap()).await.unwrap();
    thread.annotate(MetadataPatch::new().set("mine", &1).unwrap()).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    ChatFolder::create(out.path()).unwrap().export(&db).await.unwrap();
    let text = fs::read_to_string(out.path().join(ID).join("chat.jsonl")).unwrap();
    let written: Vec<&str> = text.lines().collect();
    assert_eq!((written.len(), written[0], written[2]), (4, &*header(ID), &*turn(2, "q", "a")));
    assert!(written[1].contains(r#""answer":"changed", "cost": 1.10"#), "{}", written[1]);
    let catalog = fs::read_to_string(out.path().join("catalog.json")).unwrap();
    assert!(
        catalog.contains(r#""title":"renamed""#) && catalog.contains(r#""message_count":3,"preview":"and?""#),
        "{catalog}"
    );
    assert!(catalog.contains(r#""pinned":1.10"#), "{catalog}");
    assert_eq!(everything(&round(&db).await).await, everything(&db).await);
}

#[tokio::test]
async fn a_repeated_export_changes_only_changed_files() {
    let db = store();
    db.thread("a").add(NewMessage::user("one")).await.unwrap();
    db.thread("b").add(NewMessage::user("one")).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let folder = ChatFolder::create(out.path()).unwrap();
    let first = folder.export(&db).await.unwrap();
    assert_eq!((first.threads, first.messages), (2, 2));
    let before = files(out.path());
    assert_eq!(folder.export(&db).await.unwrap(), first);
    assert_eq!(files(out.path()), before);
    // The export removes the unfinished file of a process that ended.
    fs::write(out.path().join(".throughline-abc"), "half").unwrap();
    db.thread("a").add(NewMessage::user("two")).await.unwrap();
    db.thread("b").delete_thread().await.unwrap();
    let mut open = db.thread("a").reserve(Role::Assistant).await.unwrap();
    let changed = folder.export(&db).await.unwrap();
    assert_eq!((changed.threads, changed.messages), (1, 2));
    assert_eq!(changed.skipped.iter().map(|finding| &finding.kind).collect::<Vec<_>>(), [&FindingKind::Open]);
    assert_eq!(
        changed.warnings.iter().map(|finding| &finding.kind).collect::<Vec<_>>(),
        [&FindingKind::NoLongerThere]
    );
    open.abandon("enough").await.unwrap();
    assert_eq!(files(out.path()).len(), 3);
    let catalog = fs::read_to_string(out.path().join("catalog.json")).unwrap();
    assert!(catalog.contains("\"version\": 2,"), "{catalog}");
    let b = ChatId::of(&"b".parse().unwrap()).to_string();
    assert!(out.path().join(&b).join("chat.jsonl").exists() && catalog.contains(&b));
}

#[cfg(unix)]
#[tokio::test]
async fn concurrent_exports_to_one_folder_are_refused() {
    let db = store();
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = fs::File::open(folder.path()).unwrap();
    other.try_lock().unwrap();
    let error = ChatFolder::create(folder.path()).unwrap().export(&db).await.unwrap_err();
    assert!(matches!(&error, TransferError::ExportUnderWay { path } if path == folder.path()), "{error}");
    assert_eq!(files(folder.path()).len(), 0);
    drop(other);
    ChatFolder::create(folder.path()).unwrap().export(&db).await.unwrap();
    // The lock is released after an export, also after an error.
    ChatFolder::open(folder.path()).unwrap().export(&db).await.unwrap();
}

#[tokio::test]
async fn a_folder_with_other_files_is_never_written_to() {
    let db = store();
    db.thread("a").add(NewMessage::user("one")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let export = || async { ChatFolder::create(folder.path()).unwrap().export(&db).await.unwrap_err() };
    fs::write(folder.path().join("other.txt"), "mine").unwrap();
    let before = files(folder.path());
    let error = export().await;
    assert!(
        matches!(&error, TransferError::NotAnExport { found, .. } if found.ends_with("other.txt")),
        "{error}"
    );
    assert_eq!(files(folder.path()), before);
    let texts = [
        r#"{"schema_version":1,"version":1,"chats":[]}"#,
        r#"{"schema_version":2,"version":1,"chats":[],"throughline":{"export":1,"tenant":"default"}}"#,
        r#"{"schema_version":1,"version":1,"chats":["#,
    ];
    for (at, text) in texts.iter().enumerate() {
        fs::write(folder.path().join("catalog.json"), text).unwrap();
        let before = files(folder.path());
        let error = export().await;
        match at {
            0 => assert!(matches!(error, TransferError::NotAnExport { .. }), "{error}"),
            1 => assert!(matches!(error, TransferError::NewerSchema { known: 1, .. }), "{error}"),
            _ => assert!(matches!(error, TransferError::Corrupt { .. }), "{error}"),
        }
        assert_eq!(files(folder.path()), before);
    }
}
