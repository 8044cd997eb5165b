//! Regression tests of faults that reviews have found.

use throughline::{
    ErrorKind, Metadata, NewMessage, PersistResult, Persistence, Position, ReadResult, Role, TenantId,
    ThreadId,
    changes::{ListQuarantined, QuarantineChange},
    layers::encrypt::{
        EncryptLayer,
        thread_keys::{FileThreadKeys, MemoryThreadKeys, ThreadKeys as _},
    },
    messages::{DamagedMessage, PageFrom},
    sqlite::SqliteBackend,
    threads::RenameThread,
};

use super::support::{StoreProxy, key, key_ring, layer, over_memory, stacks};

#[tokio::test]
async fn a_null_in_metadata_survives_re_encryption() {
    let layer = layer();
    for db in stacks(&layer).await {
        let old = layer.key_ring().write_key();
        let mut facts = Metadata::new();
        facts.set("a", &()).unwrap();
        facts.set("b", &1).unwrap();
        let id =
            db.thread("t").add(NewMessage::user("x").with_metadata(facts.clone())).await.unwrap().message.id;
        let before = db.thread("t").get(id.clone()).await.unwrap().unwrap().metadata;
        assert_eq!(before, facts);
        layer.key_ring().rotate(key(&format!("{old}x"))).unwrap();
        layer.rewrite(&db).run().await.unwrap();
        let after = db.thread("t").get(id).await.unwrap().unwrap().metadata;
        assert_eq!(after, before);
    }
}

async fn encrypt_existing(fill: impl AsyncFn(&Persistence)) -> (EncryptLayer, Persistence) {
    let folder = tempfile::tempdir().unwrap().keep();
    let open = || SqliteBackend::open(folder.join("chat.db"));
    let plain = Persistence::builder().backend(open().await.unwrap()).build().unwrap();
    fill(&plain).await;
    plain.close().await.unwrap();
    let layer = layer().accept_plaintext();
    let db = Persistence::builder().layer(layer.clone()).backend(open().await.unwrap()).build().unwrap();
    (layer, db)
}

#[tokio::test]
async fn a_plaintext_title_that_begins_like_ciphertext_is_read_unchanged() {
    let (layer, db) = encrypt_existing(async |plain| {
        plain.thread("t").add(NewMessage::user("secret")).await.unwrap();
        plain.thread("t").rename("sealed: bids for the house".parse().unwrap()).await.unwrap();
    })
    .await;
    let entry = db.thread("t").summary().await;
    let report = layer.rewrite(&db).run().await;
    assert_eq!(entry.unwrap().unwrap().title.as_str(), "sealed: bids for the house", "{report:?}");
}

#[tokio::test]
async fn plaintext_metadata_that_begins_like_ciphertext_is_readable() {
    let (layer, db) = encrypt_existing(async |plain| {
        let mut facts = Metadata::new();
        facts.set("a", "sealed: by hand").unwrap();
        plain.thread("t").add(NewMessage::user("x").with_metadata(facts)).await.unwrap();
    })
    .await;
    let page = db.thread("t").page(PageFrom::Start, 10).await;
    let report = layer.rewrite(&db).run().await;
    assert!(page.is_ok(), "{page:?} {report:?}");
}

#[tokio::test]
async fn a_long_title_does_not_stop_re_encryption() {
    let (layer, db) = encrypt_existing(async |plain| {
        plain.thread("u").add(NewMessage::user("after")).await.unwrap();
        plain.thread("t").add(NewMessage::user("secret")).await.unwrap();
        plain.thread("t").rename("x".repeat(4000).parse().unwrap()).await.unwrap();
    })
    .await;
    let report = layer.rewrite(&db).run().await;
    assert!(report.is_ok(), "{report:?}");
}

#[tokio::test]
async fn a_longer_key_name_does_not_stop_re_encryption() {
    let layer = layer();
    let db = over_memory(&layer);
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.thread("t").rename("x".repeat(3000).parse().unwrap()).await.unwrap();
    layer.key_ring().rotate(key(&"k".repeat(32))).unwrap();
    let report = layer.rewrite(&db).run().await;
    assert!(report.is_ok(), "{report:?}");
}

#[tokio::test]
async fn a_key_is_not_retired_while_a_title_under_it_is_damaged() {
    let layer = layer();
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer);
    db.thread("t").add(NewMessage::user("x").with_id("m".parse().unwrap())).await.unwrap();
    db.thread("t").rename("one".parse().unwrap()).await.unwrap();
    let bad = |entry: &mut throughline::threads::ThreadSummary| entry.title = "forged".parse().unwrap();
    proxy.tamper(move |result| match result {
        PersistResult::Read(ReadResult::Threads(list)) => list.threads.iter_mut().for_each(bad),
        PersistResult::Read(ReadResult::Thread(Some(entry))) => bad(entry),
        _ => {}
    });
    // The message itself is readable.
    db.thread("t").get("m".parse().unwrap()).await.unwrap().unwrap();
    layer.key_ring().rotate(key("k2")).unwrap();
    let report = layer.rewrite(&db).run().await;
    let retired = layer.retire(&"k1".parse().unwrap(), std::slice::from_ref(&db)).await;
    let read = db.thread("t").get("m".parse().unwrap()).await;
    assert!(read.is_ok(), "{report:?} {retired:?} {read:?}");
    assert_eq!(report.map(|report| report.contents).unwrap(), 1);
    assert_eq!(retired.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_during_shredding_returns_the_message_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileThreadKeys::open(folder.path().join("keys")).unwrap();
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys);
    let db = over_memory(&layer);
    for round in 0..20 {
        let named: ThreadId = format!("t{round}").parse().unwrap();
        let thread = db.thread(named.clone());
        thread.add(NewMessage::user("x").with_id("m".parse().unwrap())).await.unwrap();
        let shred = tokio::spawn({
            let (layer, db, named) = (layer.clone(), db.clone(), named.clone());
            async move { layer.shred(&db, &named).await.unwrap() }
        });
        while !shred.is_finished() {
            if let Err(error) = thread.get("m".parse().unwrap()).await {
                assert_eq!(error.kind(), ErrorKind::Gone, "{round}: {error:?}");
            }
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_existing_key_folder_is_not_readable_by_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let keys = FileThreadKeys::open(&path).unwrap();
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys);
    over_memory(&layer).thread("t").add(NewMessage::user("x")).await.unwrap();
    let folder_mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert!(folder_mode & 0o077 == 0 || mode & 0o077 == 0, "{folder_mode:o} {mode:o} {:?}", entry.path());
    }
}

#[tokio::test]
async fn shredding_overwrites_the_file_blocks_that_a_rotation_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = FileThreadKeys::open(&path).unwrap();
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys.clone());
    let db = over_memory(&layer);
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let file = std::fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "key"))
        .unwrap();
    // A hard link keeps the file blocks readable for the test.
    let blocks = folder.path().join("blocks");
    std::fs::hard_link(&file, &blocks).unwrap();
    layer.key_ring().rotate(key("k2")).unwrap();
    layer.rewrite(&db).run().await.unwrap();
    layer.shred(&db, &"t".parse().unwrap()).await.unwrap();
    assert_eq!(
        keys.get(&TenantId::default(), &"t".parse().unwrap()).await.unwrap(),
        throughline::layers::encrypt::thread_keys::ThreadKey::Destroyed
    );
    let left = std::fs::read_to_string(&blocks).unwrap();
    assert!(!left.contains("sealed:"), "{left}");
}

#[tokio::test]
async fn a_shredded_draft_does_not_stop_recovery() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    for (number, db) in stacks(&layer).await.into_iter().enumerate() {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        let mut drafts = Vec::new();
        for name in [&a, &b] {
            let mut draft = db.thread(name.as_str()).reserve(Role::Assistant).await.unwrap();
            draft.append("half").await.unwrap();
            draft.flush().await.unwrap();
            drafts.push(draft);
        }
        layer.shred(&db, &a.parse().unwrap()).await.unwrap();
        let open = db.open_reservations(10).await;
        assert!(open.is_ok(), "{open:?}");
        let open = open.unwrap();
        assert_eq!((open.messages.len(), open.damaged.len()), (1, 1));
        assert_eq!(db.recover_expired_drafts("late").await.unwrap().failed.len(), 0);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_shredded_thread_hides_no_quarantined_change_of_another() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    let db = over_memory(&layer);
    let consumer: throughline::ids::ConsumerName = "index".parse().unwrap();
    for (position, name) in [(1, "a"), (2, "b")] {
        db.thread(name).add(NewMessage::user("x")).await.unwrap();
        db.on_consumer(QuarantineChange {
            consumer: consumer.clone(),
            position: Position::new(position),
            thread: name.parse().unwrap(),
            why: "why".into(),
        })
        .await
        .unwrap();
    }
    layer.shred(&db, &"a".parse().unwrap()).await.unwrap();
    let list = db.read(ListQuarantined::new(consumer, 10)).await;
    assert!(list.is_ok(), "{list:?}");
}

#[tokio::test]
async fn a_damaged_message_does_not_stop_re_encryption_and_keeps_its_key() {
    let layer = layer();
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer);
    for name in ["a", "b", "c"] {
        db.thread("t").add(NewMessage::user(name).with_id(name.parse().unwrap())).await.unwrap();
    }
    // The answer of a store that cannot read the message.
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Page(page)) = result {
            let (damaged, whole) = std::mem::take(&mut page.messages)
                .into_iter()
                .partition::<Vec<_>, _>(|message| message.id.as_str() == "b");
            page.messages = whole;
            page.damaged = damaged
                .into_iter()
                .map(|message| DamagedMessage {
                    thread: message.thread,
                    seq: Some(message.seq),
                    id: Some(message.id),
                })
                .collect();
        }
    });
    layer.key_ring().rotate(key("k2")).unwrap();
    let report = layer.rewrite(&db).page(1).run().await.unwrap();
    assert_eq!(report.contents, 2, "{report:?}");
    assert!(report.damaged > 0, "{report:?}");
    let retired = layer.retire(&"k1".parse().unwrap(), std::slice::from_ref(&db)).await;
    assert_eq!(retired.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_rename_that_expects_an_overlong_title_is_stale() {
    for db in stacks(&layer()).await {
        let thread = db.thread("t");
        thread.add(NewMessage::user("x")).await.unwrap();
        thread.rename("one".parse().unwrap()).await.unwrap();
        let rename = RenameThread::new("t".parse().unwrap(), "two".parse().unwrap());
        let answer = db.on_thread(rename.expecting("x".repeat(4000).parse().unwrap())).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Stale);
        db.close().await.unwrap();
    }
}
