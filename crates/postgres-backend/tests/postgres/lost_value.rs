//! A value that the server cannot read: a message with it fails no other write, and can be deleted or restored.

use throughline_core::{
    Content, ErrorKind, MessageId, NewMessage, Persistence, Role, Timestamp,
    audit::{AuditEntry, AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
    messages::{Delete, Import, ImportRow, ImportedRow, Update},
    threads::{ClearThread, GetThread, PurgeThread, ThreadArgs, ThreadResult},
};
use throughline_layers::audit::{AuditKey, AuditLayer, verify};
use throughline_postgres::PostgresBackend;

use crate::support::{Database, everything};

fn key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

fn damaged() -> Delete {
    Delete::damaged("t".parse().unwrap(), "b".parse().unwrap())
}

/// Returns a store with an audit log and three messages, and takes a part of a long value of `b` from the server, as
/// a lost page of the table does: the server then fails every statement that reads the value.
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn with_lost_value() -> Option<(Database, Persistence)> {
    let database = Database::fresh("").await?;
    let backend = PostgresBackend::builder().writers(1).open(&database.url).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap();
    // Long values that do not compress are stored apart from their rows, in parts.
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(40_000).collect();
    for (id, text) in [("a", "a"), ("b", &*noise), ("c", "c")] {
        db.thread("t").add(NewMessage::user(text).with_id(id.parse().unwrap())).await.unwrap();
    }
    let lose = "CREATE EXTENSION pg_surgery; DO $$ DECLARE parts regclass; row tid; BEGIN \
        SELECT reltoastrelid::regclass INTO parts FROM pg_class WHERE oid = 'throughline.messages'::regclass; \
        EXECUTE format('SELECT ctid FROM %s LIMIT 1', parts) INTO row; \
        PERFORM heap_force_kill(parts, ARRAY[row]); END $$";
    let surgery = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_surgery'";
    if database.count(surgery).await == 0 {
        println!("SKIPPED: the repair of a value that the server cannot read (pg_surgery is not installed)");
        return None;
    }
    database.run(lose).await;
    assert_eq!(db.thread("t").get("b".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    Some((database, db))
}

/// Returns the operations of the audit log, with the message of each, and whether it was applied.
async fn audited(db: &Persistence) -> Vec<(String, String, bool)> {
    let read = ReadAudit::new(ChangeScope::Store, AuditFrom::After(AuditNumber::ZERO), 100);
    let entries = db.read(read).await.unwrap().entries;
    let entry = |AuditEntry { record, .. }: AuditEntry| {
        let item = &record.items[0];
        (item.operation.to_string(), item.messages[0].to_string(), record.is_applied())
    };
    entries.into_iter().map(entry).collect()
}

#[tokio::test]
async fn message_that_the_server_cannot_read_can_be_deleted() {
    let Some((_database, db)) = with_lost_value().await else { return };
    let patch = Update::new("t".parse().unwrap(), "a".parse().unwrap(), Default::default());
    // Both in one transaction: the repair fails no other write.
    let (other, deleted) = tokio::join!(db.run(patch), db.run(damaged()).key("repair"));
    other.unwrap();
    let deleted = deleted.unwrap();
    assert_eq!((deleted.seq.get(), deleted.revision.get()), (2, 1));
    assert!(db.run(damaged()).key("repair").await.unwrap().deduplicated);
    let ids: Vec<_> = everything(&db, "t").await.into_iter().map(|message| message.id.to_string()).collect();
    assert_eq!(ids, ["a", "c"]);
    let entry = db.read(GetThread { thread: "t".parse().unwrap() }).await.unwrap().unwrap();
    assert_eq!((entry.messages, entry.preview.as_deref()), (2, Some("c")));
    let deletions = audited(&db).await.into_iter().filter(|(operation, ..)| operation == "delete");
    assert_eq!(deletions.collect::<Vec<_>>(), [("delete".to_owned(), "b".to_owned(), true)]);
    assert_eq!(verify(&db, &key(), &[]).await.unwrap().flaw, None);
}

#[tokio::test]
async fn message_that_the_server_cannot_read_can_be_restored() {
    let Some((_database, db)) = with_lost_value().await else { return };
    let copy =
        || ImportRow::new("b".parse().unwrap(), Role::User, Content::text("copy"), Timestamp::from_micros(5));
    let import = Import::new("t".parse().unwrap(), vec![copy()]);
    let error = db.run(import).await.unwrap_err();
    assert_eq!((error.kind(), error.message().map(MessageId::as_str)), (ErrorKind::Corrupt, Some("b")));
    let imported = db.run(Import::restoring("t".parse().unwrap(), vec![copy()])).await.unwrap();
    assert!(matches!(imported.rows[..], [ImportedRow::Restored(seq)] if seq.get() == 2));
    let messages = everything(&db, "t").await;
    assert_eq!((messages.len(), &messages[1].content), (3, &Content::text("copy")));
    let mut imports = audited(&db).await.into_iter().filter(|(.., is_applied)| *is_applied);
    assert_eq!(imports.next_back().unwrap(), ("import".to_owned(), "b".to_owned(), true));
    assert_eq!(verify(&db, &key(), &[]).await.unwrap().flaw, None);
}

#[tokio::test]
async fn message_that_the_server_cannot_read_prevents_no_purge() {
    let Some((database, db)) = with_lost_value().await else { return };
    db.run(ThreadArgs::from(ClearThread::new("t".parse().unwrap()))).await.unwrap();
    let purge = PurgeThread { thread: "t".parse().unwrap(), limit: 10 };
    match db.run(ThreadArgs::from(purge)).await.unwrap() {
        ThreadResult::Purge(purged) => assert_eq!((purged.messages, purged.more), (3, false)),
        other => panic!("{other:?}"),
    }
    let left = "SELECT count(*) FROM throughline.messages WHERE content IS NOT NULL";
    assert_eq!(database.count(left).await, 0);
}
