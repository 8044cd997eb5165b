//! Guarantees that callers keep although each encryption of the same text differs.

use throughline::{
    Content, Delta, ErrorKind, MetadataPatch, NewMessage, NewThread, PersistArgs, PersistResult, Phase,
    Plugin, Position, ReadResult, Role, Timestamp,
    changes::{ListQuarantined, QuarantineChange},
    layers::encrypt::{EncryptLayer, thread_keys::MemoryThreadKeys},
    messages::{ContentChange, Import, ImportRow, ImportedRow, PageFrom, UpdateContent, UpdateMode},
    pipeline::SiteSpec,
    search::SearchMessages,
    threads::{ListThreads, RenameThread},
};

use super::support::{StoreProxy, key_ring, layer, over_memory, stacks};

fn layers() -> [EncryptLayer; 2] {
    [layer(), EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new())]
}

#[tokio::test]
async fn a_decrypted_draft_has_the_text_the_blocks_and_the_reason_that_were_written() {
    for layer in layers() {
        for db in stacks(&layer).await {
            let thread = db.thread("t");
            let mut draft = thread.reserve(Role::Assistant).await.unwrap();
            draft.append("Hel").await.unwrap();
            draft.flush().await.unwrap();
            draft.append("lo").await.unwrap();
            draft.append_blocks(Content::from_json(r#"[{"n": 1.10}]"#).unwrap()).await.unwrap();
            draft.append("!").await.unwrap();
            let done = draft.finish().await.unwrap();
            let read = thread.get(done.id.clone()).await.unwrap().unwrap();
            assert_eq!(
                read.content.as_json(),
                r#"[{"type":"text","text":"Hello"},{"n": 1.10},{"type":"text","text":"!"}]"#
            );
            assert_eq!(read.revision, done.revision);
            let history = thread.history(None, 10).await.unwrap();
            assert_eq!(history.messages.len(), 1);
            let mut abandoned = thread.reserve(Role::Assistant).await.unwrap();
            abandoned.append("half").await.unwrap();
            let abandoned = abandoned.abandon("why not").await.unwrap();
            let read = thread.get(abandoned.id).await.unwrap().unwrap();
            assert_eq!(read.abandon_reason.as_deref(), Some("why not"));
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_repeated_call_with_its_key_returns_the_first_answer() {
    for layer in layers() {
        for db in stacks(&layer).await {
            let thread = db.thread("t");
            // The second call generates a new id, and gets the id of the first call.
            let first = thread.add(NewMessage::user("once")).key("a").await.unwrap();
            let again = thread.add(NewMessage::user("once")).key("a").await.unwrap();
            assert_eq!((&again.message, again.deduplicated), (&first.message, true));
            let other = thread.add(NewMessage::user("twice")).key("a").await.unwrap_err();
            assert_eq!(other.kind(), ErrorKind::Conflict);
            let id = first.message.id;
            let patch = MetadataPatch::new().set("n", &1).unwrap();
            let first = thread.update(id.clone(), patch.clone()).key("b").await.unwrap();
            let again = thread.update(id.clone(), patch).key("b").await.unwrap();
            assert_eq!((again.metadata, again.deduplicated), (first.metadata, true));
            let edit = || thread.edit(id.clone(), Content::text("edited")).key("c");
            assert_eq!(edit().await.unwrap().revision, edit().await.unwrap().revision);
            // A repeated rename is a replay, although the expected title has changed.
            let rename = || {
                let rename = RenameThread::new("t".parse().unwrap(), "new".parse().unwrap());
                db.on_thread(rename.expecting("Untitled".parse().unwrap())).key("d")
            };
            assert!(!rename().await.unwrap().deduplicated && rename().await.unwrap().deduplicated);
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_rename_compares_plaintext_titles() {
    for db in stacks(&layer()).await {
        let new = NewThread::new().with_id("t".parse().unwrap()).with_title("one".parse().unwrap());
        db.create_thread(new).await.unwrap();
        let rename = |to: &str, from: &str| {
            let rename = RenameThread::new("t".parse().unwrap(), to.parse().unwrap());
            db.on_thread(rename.expecting(from.parse().unwrap()))
        };
        assert_eq!(rename("two", "one").await.unwrap().summary.title.as_str(), "two");
        assert_eq!(rename("three", "one").await.unwrap_err().kind(), ErrorKind::Stale);
        assert_eq!(rename("three", "two").await.unwrap().summary.title.as_str(), "three");
        let long = "x".repeat(4096);
        let error = db.thread("t").rename(long.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let most: usize = error.detail().split(' ').rev().nth(5).unwrap().parse().unwrap();
        db.thread("t").rename("x".repeat(most).parse().unwrap()).await.unwrap();
        let one_more = "x".repeat(most + 1).parse().unwrap();
        assert_eq!(db.thread("t").rename(one_more).await.unwrap_err().kind(), ErrorKind::TooLarge);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_edits_without_an_expected_revision_are_all_applied() {
    for db in stacks(&layer()).await {
        let thread = db.thread("t");
        let id = thread.add(NewMessage::user("")).await.unwrap().message.id;
        let edits = (0..16).map(|n| {
            let (db, id) = (db.clone(), id.clone());
            tokio::spawn(async move {
                let change = ContentChange::Append(Delta::text(format!("{n};")));
                let edit = UpdateContent::new("t".parse().unwrap(), id, change, UpdateMode::Edit);
                db.run(edit).await
            })
        });
        for edit in edits.collect::<Vec<_>>() {
            edit.await.unwrap().unwrap();
        }
        let read = thread.get(id.clone()).await.unwrap().unwrap();
        assert_eq!((read.revision.get(), read.content.plain_text(1000).matches(';').count()), (17, 16));
        // A writer that expects a revision is refused if it differs.
        let change = ContentChange::Append(Delta::text("late"));
        let edit = UpdateContent::new("t".parse().unwrap(), id, change, UpdateMode::Edit);
        let late = db.run(edit.expecting(throughline::Revision::new(3))).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Stale);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn appends_to_a_message_of_this_process_cause_no_reads() {
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer());
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    for _ in 0..5 {
        draft.append("x").await.unwrap();
        draft.flush().await.unwrap();
    }
    draft.finish().await.unwrap();
    let reads = proxy.passed().iter().filter(|args| matches!(args, PersistArgs::Read(_))).count();
    assert_eq!(reads, 0);
}

#[tokio::test]
async fn a_repeated_import_recognizes_equal_and_different_rows() {
    for layer in layers() {
        for db in stacks(&layer).await {
            let row = |id: &str, text: &str| {
                ImportRow::new(
                    id.parse().unwrap(),
                    Role::User,
                    Content::text(text),
                    Timestamp::from_micros(7),
                )
            };
            let import = |second: &str| {
                db.run(Import::new("t".parse().unwrap(), vec![row("a", "one"), row("b", second)]))
            };
            import("two").await.unwrap();
            let again = import("two").await.unwrap().rows;
            assert!(again.iter().all(|row| matches!(row, ImportedRow::Present(_))), "{again:?}");
            let other = import("three").await.unwrap().rows;
            assert!(matches!(other[..], [ImportedRow::Present(_), ImportedRow::Differs(_)]), "{other:?}");
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_fork_is_encrypted_for_its_own_thread_and_can_be_repeated() {
    for layer in layers() {
        for db in stacks(&layer).await {
            let thread = db.thread("t");
            thread.add(NewMessage::user("one")).await.unwrap();
            let last = thread.add(NewMessage::assistant("two")).await.unwrap().message.id;
            thread.rename("title".parse().unwrap()).await.unwrap();
            let to = || NewThread::new().with_id("fork".parse().unwrap());
            assert_eq!(thread.fork(&last, to()).await.unwrap().messages, 2);
            assert_eq!(thread.fork(&last, to()).await.unwrap().summary.title.as_str(), "title");
            let page = db.thread("fork").page(PageFrom::Start, 10).await.unwrap();
            assert_eq!(page.messages[1].content, Content::text("two"));
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn lists_show_no_preview_and_a_search_finds_nothing() {
    for db in stacks(&layer()).await {
        db.thread("t").add(NewMessage::user("hello world")).await.unwrap();
        let list = db.threads(ListThreads::new(10)).await.unwrap();
        assert_eq!((list.threads[0].preview.as_deref(), list.threads[0].turns), (None, 1));
        match db.search(SearchMessages::new("hello", 10)).await {
            Ok(found) => assert_eq!(found.hits, []),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
        }
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_quarantine_reason_is_decrypted_only_for_its_own_change() {
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer());
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let consumer: throughline::ids::ConsumerName = "index".parse().unwrap();
    for position in [1, 2] {
        let skipped = QuarantineChange {
            consumer: consumer.clone(),
            position: Position::new(position),
            thread: "t".parse().unwrap(),
            why: format!("why {position}"),
        };
        db.on_consumer(skipped).await.unwrap();
    }
    assert!(!format!("{:?}", serde_json::to_string(&proxy.passed()).unwrap()).contains("why 1"));
    let list = || db.read(ListQuarantined::new(consumer.clone(), 10));
    let whys: Vec<_> = list().await.unwrap().changes.into_iter().map(|change| change.why).collect();
    assert_eq!(whys, ["why 1", "why 2"]);
    // Copy the reason of one change to the other.
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Quarantined(list)) = result {
            let why = list.changes[0].why.clone();
            list.changes[1].why = why;
        }
    });
    assert_eq!(list().await.unwrap_err().kind(), ErrorKind::Corrupt);
}

struct Redacts;

impl Plugin for Redacts {
    fn name(&self) -> &str {
        "own-redactor"
    }

    fn phase(&self) -> Phase {
        Phase::Transform
    }
}

/// A layer with the name and the rank of a redact layer.
struct Ranked;

impl throughline::pipeline::Described for Ranked {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("redact", Phase::Transform).with_rank(10)
    }
}

impl<S> tower::Layer<S> for Ranked {
    type Service = S;

    fn layer(&self, inner: S) -> S {
        inner
    }
}

#[tokio::test]
async fn build_refuses_redaction_inside_of_encryption() {
    let memory = throughline::memory::MemoryBackend::new;
    let builder = throughline::Persistence::builder;
    builder().layer(Ranked).plugin(Redacts).layer(layer()).backend(memory()).build().unwrap();
    let error = builder().layer(layer()).layer(Ranked).backend(memory()).build().unwrap_err();
    assert!(error.detail().contains("`redact` has to stand outside `encrypt`"), "{error}");
    assert_eq!(over_memory(&layer()).describe().names().next(), Some("encrypt"));
}
