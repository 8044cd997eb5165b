//! Content is read as it was written, and is bounded.

use rusqlite::Connection;
use throughline_core::{
    Content, Delta, ErrorKind, Metadata, NewMessage, NewReservation, Persistence, Role,
    messages::{ContentChange, Reserve, UpdateMode},
};
use throughline_sqlite::{SqliteBackend, SqliteOptions};

#[tokio::test]
async fn every_text_survives_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let open =
        async || Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let odd = r#"[ {"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null ]"#;
    let name = "naïve ✓ 日本:\u{10ffff}";
    let mut metadata = Metadata::new();
    metadata.set("nul\u{0}key", &"nul\u{0}value").unwrap();
    metadata.set("big", &u64::MAX).unwrap();
    let db = open().await.for_tenant(name.parse().unwrap());
    let message = NewMessage::new(Role::Tool, Content::from_json(odd).unwrap())
        .with_id(name.parse().unwrap())
        .with_metadata(metadata)
        .with_attachments([name.parse().unwrap()]);
    let added = db.thread(name).add(message).await.unwrap().message;
    let reservation = NewReservation::new(Role::Assistant).with_id("abandoned".parse().unwrap());
    db.run(Reserve::new(name.parse().unwrap(), reservation)).await.unwrap();
    let reason = Some("nul \u{0} and quote '".to_owned());
    let change = ContentChange::Append(Delta::text("a\u{0}b"));
    db.thread(name)
        .update_content("abandoned".parse().unwrap(), change, UpdateMode::Abandon { reason: reason.clone() })
        .await
        .unwrap();
    db.close().await.unwrap();
    let db = open().await.for_tenant(name.parse().unwrap());
    let found = db.thread(name).get(name.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(found, added);
    assert_eq!(found.content.as_json(), odd);
    assert_eq!(found.metadata.get_as::<u64>("big"), Some(u64::MAX));
    let abandoned = db.thread(name).get("abandoned".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((abandoned.content, abandoned.abandon_reason), (Content::text("a\u{0}b"), reason));
}

#[tokio::test]
async fn a_stream_is_stored_in_chunks_until_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    let reservation = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let update = |change, mode| thread.update_content("m".parse().unwrap(), change, mode);
    let look = Connection::open(&path).unwrap();
    let stored = || -> (String, i64, i64) {
        look.query_row("SELECT content, appends, (SELECT count(*) FROM appends) FROM messages", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap()
    };
    for n in 1..=20 {
        update(ContentChange::Append(Delta::text("x")), UpdateMode::Partial).await.unwrap();
        assert_eq!(stored(), ("[]".to_owned(), n, n));
    }
    update(ContentChange::Replace(Content::text("next")), UpdateMode::Partial).await.unwrap();
    assert_eq!(stored(), ("[]".to_owned(), 1, 1));
    update(ContentChange::Append(Delta::text("!")), UpdateMode::Partial).await.unwrap();
    let open = thread.get("m".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(open.content, Content::text("next!"));
    update(ContentChange::none(), UpdateMode::Final).await.unwrap();
    assert_eq!(stored(), (Content::text("next!").as_json().to_owned(), 0, 0));
    assert_eq!(thread.get("m".parse().unwrap()).await.unwrap().unwrap().content, Content::text("next!"));
}

#[tokio::test]
async fn a_deleted_message_leaves_its_id_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    let canary = "canary in the coal mine";
    let mut metadata = Metadata::new();
    metadata.set("k", canary).unwrap();
    let message = NewMessage::user(canary).with_id("m".parse().unwrap()).with_metadata(metadata);
    thread.add(message.with_attachments([canary.parse().unwrap()])).key("key").await.unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id("open".parse().unwrap());
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let change = ContentChange::Append(Delta::text(canary));
    thread.update_content("open".parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
    for id in ["m", "open"] {
        thread.delete(id.parse().unwrap()).await.unwrap();
        let again = thread.add(NewMessage::user("x").with_id(id.parse().unwrap())).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Gone);
    }
    db.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
}

#[tokio::test]
async fn content_has_a_limit() {
    let limit = Content::text("123456789").byte_len() as u64;
    let backend = SqliteOptions::new().max_content_bytes(limit).temporary().await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("123456789").with_id("m".parse().unwrap())).await.unwrap();
    let too_large = |error: throughline_core::PersistError| assert_eq!(error.kind(), ErrorKind::TooLarge);
    too_large(thread.add(NewMessage::user("1234567890")).await.unwrap_err());
    too_large(thread.edit("m".parse().unwrap(), Content::text("1234567890")).await.unwrap_err());
    let more = ContentChange::Append(Delta::text("0"));
    too_large(thread.update_content("m".parse().unwrap(), more, UpdateMode::Edit).await.unwrap_err());
    let reservation = NewReservation::new(Role::Assistant).with_id("s".parse().unwrap());
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let append = |text: &str| {
        let change = ContentChange::Append(Delta::text(text));
        thread.update_content("s".parse().unwrap(), change, UpdateMode::Partial)
    };
    append("12345678").await.unwrap();
    append("9").await.unwrap();
    too_large(append("y").await.unwrap_err());
    assert_eq!(thread.get("s".parse().unwrap()).await.unwrap().unwrap().revision.get(), 3);
    let update = thread.update_content("s".parse().unwrap(), ContentChange::none(), UpdateMode::Final);
    assert_eq!(update.await.unwrap().revision.get(), 4);
}
