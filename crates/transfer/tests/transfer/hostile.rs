//! Malformed folders and damaged stores, and changes during an export.

use std::{
    fs,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::value::RawValue;
use throughline_core::{
    Content, Metadata, NewMessage, PersistArgs, PersistRequest, Persistence, Phase, ReadArgs, Role,
    Timestamp,
    messages::{Import, ImportRow},
    plugin::{NextRequest, from_fn},
};
use throughline_memory::MemoryBackend;
use throughline_sqlite::SqliteBackend;
use throughline_transfer::{ChatFolder, ChatId, FindingKind, LegacySqlite, Location, TransferError};

use crate::{
    legacy_rows::{Legacy, Row, TABLE, row, text},
    support::{everything, files, rows, store},
};

/// A change that runs during an export, after the first read of a kind.
#[derive(Clone, Default)]
struct Meanwhile {
    db: Arc<OnceLock<Persistence>>,
    reads: Arc<AtomicUsize>,
}

impl Meanwhile {
    fn store(&self, is_it: fn(&PersistArgs) -> bool, change: &'static str) -> Persistence {
        let meanwhile = self.clone();
        let layer = from_fn("meanwhile", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
            let meanwhile = meanwhile.clone();
            async move {
                let due = is_it(&request.args) && meanwhile.db.get().is_some();
                let answer = next.run(request).await;
                if due && meanwhile.reads.fetch_add(1, Ordering::SeqCst) == 0 {
                    let thread = meanwhile.db.get().unwrap().thread("t0000");
                    match change {
                        "delete" => drop(thread.delete_thread().await.unwrap()),
                        "clear" => {
                            thread.clear().await.unwrap();
                            thread.add(NewMessage::user("again")).await.unwrap();
                        }
                        _ => drop(thread.add(NewMessage::assistant("more")).await.unwrap()),
                    }
                }
                answer
            }
        });
        Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap()
    }

    fn begin(&self, db: &Persistence) {
        self.db.set(db.clone()).unwrap();
    }
}

async fn exported(db: &Persistence) -> (tempfile::TempDir, ChatFolder, throughline_transfer::Report) {
    let dir = tempfile::tempdir().unwrap();
    let out = ChatFolder::create(dir.path().join("out")).unwrap();
    let report = out.export(db).await.unwrap();
    (dir, out, report)
}

#[tokio::test]
async fn a_thread_that_becomes_active_while_threads_are_listed_is_written() {
    let meanwhile = Meanwhile::default();
    let db = meanwhile.store(|args| matches!(args, PersistArgs::Read(ReadArgs::Threads(_))), "add");
    for number in 0..250 {
        db.thread(format!("t{number:04}").as_str()).add(NewMessage::user("hello")).await.unwrap();
    }
    meanwhile.begin(&db);
    let (_dir, _, report) = exported(&db).await;
    assert_eq!((report.threads, report.messages), (250, 251));
}

#[tokio::test]
async fn a_thread_deleted_or_cleared_meanwhile_is_not_written_in_part() {
    for change in ["delete", "clear"] {
        let meanwhile = Meanwhile::default();
        let db = meanwhile.store(|args| matches!(args, PersistArgs::Read(ReadArgs::Page(_))), change);
        for number in 0..150 {
            db.thread("t0000").add(NewMessage::user(&format!("question {number}"))).await.unwrap();
        }
        db.thread("t0001").add(NewMessage::user("hello")).await.unwrap();
        meanwhile.begin(&db);
        let (_dir, out, report) = exported(&db).await;
        let is_deleted = change == "delete";
        let skipped: Vec<_> = report.skipped.iter().map(|finding| &finding.kind).collect();
        assert_eq!(skipped, if is_deleted { vec![&FindingKind::Deleted] } else { vec![] });
        let other = store();
        let read = out.import(&other).await.unwrap();
        assert_eq!((read.messages, &*read.skipped), (report.messages, &[][..]), "{change}");
        assert_eq!(rows(&other, "t0000").await, rows(&db, "t0000").await, "{change}");
    }
}

#[tokio::test]
async fn no_thread_overwrites_another_one() {
    let db = store();
    let name = ChatId::of(&"telegram:42".parse().unwrap()).to_string();
    db.thread("telegram:42").add(NewMessage::user("first")).await.unwrap();
    db.thread(name.as_str()).add(NewMessage::user("second")).await.unwrap();
    let (_dir, out, report) = exported(&db).await;
    assert_eq!((report.threads, report.skipped.len()), (1, 1));
    assert!(matches!(report.skipped[0].kind, FindingKind::FolderTaken(_)), "{}", report.skipped[0]);
    let other = store();
    assert_eq!(out.import(&other).await.unwrap().skipped, []);
    let Location::Thread(skipped) = &report.skipped[0].location else { panic!("{}", report.skipped[0]) };
    let mut all = everything(&db).await;
    all.remove(skipped.as_str());
    assert_eq!(everything(&other).await, all);
}

#[tokio::test]
async fn a_refused_folder_keeps_every_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".throughline-other"), "mine").unwrap();
    fs::write(dir.path().join("other.txt"), "mine").unwrap();
    let before = files(dir.path());
    let error = ChatFolder::open(dir.path()).unwrap().export(&store()).await.unwrap_err();
    assert!(matches!(error, TransferError::NotAnExport { .. }), "{error}");
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_catalog_at_its_last_version_is_written() {
    let db = store();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let max = u64::MAX;
    let text = format!(
        r#"{{"schema_version":1,"version":{max},"chats":[],"throughline":{{"export":1,"tenant":"default"}}}}"#
    );
    fs::write(dir.path().join("catalog.json"), text).unwrap();
    assert_eq!(ChatFolder::open(dir.path()).unwrap().export(&db).await.unwrap().messages, 1);
}

#[tokio::test]
async fn a_line_has_a_limit_of_messages() {
    let db = store();
    for number in 0..450 {
        db.thread("t").add(NewMessage::assistant(&format!("answer {number}"))).await.unwrap();
    }
    let (dir, out, _) = exported(&db).await;
    let transcript = files(dir.path()).into_iter().find(|(path, _)| path.ends_with("chat.jsonl")).unwrap().1;
    assert_eq!(transcript.iter().filter(|byte| **byte == b'\n').count(), 1 + 3);
    let other = store();
    out.import(&other).await.unwrap();
    assert_eq!(everything(&other).await, everything(&db).await);
}

#[tokio::test]
async fn kept_metadata_with_line_breaks_becomes_one_line() {
    let db = store();
    let line =
        "{\"type\":\"turn\",\n\"schema_version\":99,\n\"seq\":1,\"created\":\"1970-01-01T00:00:00.000Z\"}";
    let mut metadata = Metadata::new();
    metadata.set_raw("chat.opaque", RawValue::from_string(line.to_owned()).unwrap());
    let content = Content::from_json(r#"[{"type":"chat.opaque","schemaVersion":99}]"#).unwrap();
    let at = Timestamp::from_micros(0);
    let row =
        ImportRow { metadata, ..ImportRow::new("turn-1-opaque".parse().unwrap(), Role::System, content, at) };
    db.run(Import::new("t".parse().unwrap(), vec![row])).await.unwrap();
    let (_dir, out, _) = exported(&db).await;
    let other = store();
    assert_eq!(out.import(&other).await.unwrap().skipped, []);
    assert_eq!(everything(&other).await, everything(&db).await);
}

#[tokio::test]
async fn an_unknown_column_does_not_replace_the_value_of_a_known_one() {
    let columns = "attachments TEXT DEFAULT 'column', turnId TEXT DEFAULT 'column', updated_at TEXT NOT NULL";
    let legacy = Legacy::new(&TABLE.replace("updated_at TEXT NOT NULL", columns));
    legacy.put(Row { attachments: text("{\"a\":1}"), turn: text(""), ..row("t", "m", 1) });
    let db = store();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let metadata = &rows(&db, "t").await[0].metadata;
    let value = |key: &str| metadata.get(key).map(RawValue::get);
    assert_eq!((value("legacy.attachments"), value("legacy.turnId")), (Some("{\"a\":1}"), Some("\"\"")));
    for column in ["attachments", "turnId"] {
        assert_eq!(value(&format!("legacy.column.{column}")), Some("\"column\""));
    }
}

#[tokio::test]
async fn damage_in_one_thread_does_not_stop_the_others() {
    for damage in [
        "UPDATE messages SET content = '[1]' WHERE message_id = 'a1'",
        "UPDATE catalog SET title = 'damage' WHERE thread_pk = (SELECT thread_pk FROM threads WHERE thread = 'a')",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let open = async || {
            let backend = SqliteBackend::open(&path).await.unwrap();
            Persistence::builder().backend(backend).build().unwrap()
        };
        let db = open().await;
        for id in ["a0", "a1", "a2", "b0"] {
            let message = NewMessage::user(id).with_id(id.parse().unwrap());
            db.thread(&id[..1]).add(message).await.unwrap();
        }
        let out = ChatFolder::create(dir.path().join("out")).unwrap();
        out.export(&db).await.unwrap();
        let before = files(&dir.path().join("out"));
        db.close().await.unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();

        let db = open().await;
        let report = out.export(&db).await.unwrap();
        assert_eq!((report.threads, report.skipped.len(), &*report.warnings), (1, 1, &[][..]), "{damage}");
        assert_eq!(report.skipped[0].location, Location::Thread("a".parse().unwrap()));
        let after = files(&dir.path().join("out"));
        assert!(
            after
                .iter()
                .filter(|(path, _)| path.ends_with("chat.jsonl"))
                .all(|(path, bytes)| before[path] == *bytes)
        );
        let report = out.import(&db).await.unwrap();
        assert_eq!(report.threads, 2, "{damage}");
        assert!(report.already_there >= 1 && !report.skipped.is_empty(), "{damage}: {report}");
    }
}

#[tokio::test]
async fn an_export_does_not_overwrite_that_of_another_tenant() {
    let db = store();
    let other = db.for_tenant("other".parse().unwrap());
    db.thread("same").add(NewMessage::user("mine")).await.unwrap();
    other.thread("same").add(NewMessage::user("theirs")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chats = ChatFolder::create(folder.path()).unwrap();
    chats.export(&db).await.unwrap();
    let before = files(folder.path());
    let error = chats.export(&other).await.unwrap_err();
    let TransferError::ExportOfAnother { tenant, .. } = &error else { panic!("{error}") };
    assert_eq!(tenant.as_str(), "default");
    assert_eq!(files(folder.path()), before);
    chats.export(&db).await.unwrap();
    assert_eq!(files(folder.path()), before);
}

#[cfg(unix)]
#[tokio::test]
async fn a_catalog_that_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap_err();
    let TransferError::Io { path: named, source, .. } = &error else { panic!("{error}") };
    assert_eq!((named, &*source.to_string()), (&path, "it is no regular file"));
}
