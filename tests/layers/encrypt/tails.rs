//! Tail reads through the encryption: the layer detects chunks that are missing, repeated or moved between two reads.

use throughline::{
    Content, Delta, ErrorKind, NewReservation, PersistError, PersistResult, Persistence, ReadResult, Role,
    Thread,
    layers::encrypt::Unreadable,
    messages::{ContentBuffer, ContentChange, ContentCursor, ContentTail, ReadContent, UpdateMode},
    sqlite::SqliteBackend,
};

use super::support::{StoreProxy, layer, stacks};

async fn open_message(db: &Persistence) -> Thread {
    let reservation = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    db.run(throughline::messages::Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    db.thread("t")
}

async fn append(thread: &Thread, text: &str) {
    let change = ContentChange::Append(Delta::text(text));
    thread.update_content("m".parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
}

async fn tail(thread: &Thread, after: Option<ContentCursor>) -> Result<ContentTail, PersistError> {
    Ok(thread.read_content("m".parse().unwrap(), after).await?.expect("the message is there"))
}

fn reason(error: &PersistError) -> Option<&Unreadable> {
    std::error::Error::source(error).and_then(|why| why.downcast_ref())
}

#[tokio::test]
async fn an_answer_of_any_limit_is_decrypted_and_continues() {
    for db in stacks(&layer()).await {
        let thread = open_message(&db).await;
        for number in 0..40 {
            append(&thread, &format!("{number} é ")).await;
        }
        for settle in [false, true] {
            if settle {
                thread
                    .update_content("m".parse().unwrap(), ContentChange::none(), UpdateMode::Final)
                    .await
                    .unwrap();
            }
            let expected = thread.get("m".parse().unwrap()).await.unwrap().unwrap();
            for limit in [1, 300, 2000, 1 << 20] {
                let (mut content, mut after, mut reads) = (ContentBuffer::new(&Content::empty()), None, 0);
                loop {
                    let read = ReadContent::new("t".parse().unwrap(), "m".parse().unwrap(), after);
                    let tail = db.read(read.with_limit(limit)).await.unwrap().unwrap();
                    tail.parts.iter().for_each(|part| content.push(part));
                    (after, reads) = (Some(tail.next), reads + 1);
                    if !tail.has_more {
                        assert_eq!((tail.state, tail.revision), (expected.state, expected.revision));
                        break;
                    }
                }
                assert_eq!(content.content(), expected.content, "{limit}");
                assert!(limit > 1 || reads >= 40, "{reads} reads of one chunk");
            }
        }
    }
}

/// Changes the stored blocks of the answers to tail reads.
fn tamper(proxy: &StoreProxy, change: fn(&mut Vec<String>)) {
    proxy.tamper(move |result| {
        if let PersistResult::Read(ReadResult::Content(Some(tail))) = result {
            let mut blocks: Vec<String> = tail
                .parts
                .iter()
                .flat_map(|part| match part {
                    Delta::Blocks(blocks) => {
                        blocks.blocks().iter().map(|block| block.get().to_owned()).collect()
                    }
                    Delta::Text(_) => vec![],
                })
                .collect();
            change(&mut blocks);
            let json = format!("[{}]", blocks.join(","));
            tail.parts = vec![Delta::Blocks(Content::from_json(json).unwrap())];
        }
    });
}

#[tokio::test]
async fn a_missing_repeated_or_moved_chunk_is_detected_at_each_cursor() {
    let attacks: [fn(&mut Vec<String>); 5] = [
        |blocks| drop(blocks.remove(0)),
        |blocks| drop(blocks.pop()),
        |blocks| blocks.swap(0, 1),
        |blocks| blocks.push(blocks[0].clone()),
        |blocks| blocks.insert(0, blocks[0].clone()),
    ];
    for attack in attacks {
        let proxy = StoreProxy::default();
        let db = proxy.over_memory(&layer());
        let thread = open_message(&db).await;
        for text in ["one ", "two ", "three "] {
            append(&thread, text).await;
        }
        let read = tail(&thread, None).await.unwrap();
        assert_eq!(read.parts, [Delta::text("one two three ")]);
        for text in ["four ", "five ", "six"] {
            append(&thread, text).await;
        }
        for after in [None, Some(read.next)] {
            tamper(&proxy, attack);
            let error = tail(&thread, after).await.unwrap_err();
            assert_eq!(
                (error.kind(), reason(&error)),
                (ErrorKind::Corrupt, Some(&Unreadable::Chunks)),
                "{error}"
            );
            proxy.stop_tampering();
        }
        assert_eq!(tail(&thread, Some(read.next)).await.unwrap().parts, [Delta::text("four five six")]);
    }
}

#[tokio::test]
async fn planted_text_in_a_tail_read_is_refused() {
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer());
    let thread = open_message(&db).await;
    append(&thread, "kept").await;
    let read = tail(&thread, None).await.unwrap();
    proxy.tamper(|result| {
        if let PersistResult::Read(ReadResult::Content(Some(tail))) = result {
            tail.parts.push(Delta::text("planted"));
        }
    });
    for after in [None, Some(read.next)] {
        let error = tail(&thread, after).await.unwrap_err();
        assert_eq!(
            (error.kind(), reason(&error)),
            (ErrorKind::Corrupt, Some(&Unreadable::Plaintext)),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}

/// A host without encryption and one that encrypts and accepts plaintext, on the same file.
struct Migration {
    plain: Persistence,
    encrypting: Persistence,
    proxy: StoreProxy,
    _folder: tempfile::TempDir,
}

impl Migration {
    async fn open() -> Self {
        let (folder, proxy) = (tempfile::tempdir().unwrap(), StoreProxy::default());
        let path = folder.path().join("chat.db");
        let plain = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap());
        let encrypting = Persistence::builder()
            .layer(layer().accept_plaintext())
            .layer(proxy.layer())
            .backend(SqliteBackend::open(&path).await.unwrap());
        let (plain, encrypting) = (plain.build().unwrap(), encrypting.build().unwrap());
        Self { plain, encrypting, proxy, _folder: folder }
    }
}

#[tokio::test]
async fn plaintext_that_another_host_appends_is_read_at_each_cursor() {
    let hosts = Migration::open().await;
    let writer = open_message(&hosts.plain).await;
    let thread = hosts.encrypting.thread("t");
    append(&writer, "one ").await;
    let from_plain = tail(&writer, None).await.unwrap().next;
    let first = tail(&thread, None).await.unwrap();
    assert_eq!(first.parts, [Delta::text("one ")]);
    append(&writer, "two ").await;
    for after in [from_plain, first.next] {
        let second = tail(&thread, Some(after)).await.unwrap();
        assert_eq!((&*second.parts, second.replaced), (&[Delta::text("two ")][..], false));
    }
    let second = tail(&thread, Some(first.next)).await.unwrap();
    // A write without content.
    writer.update_content("m".parse().unwrap(), ContentChange::none(), UpdateMode::Partial).await.unwrap();
    let third = tail(&thread, Some(second.next)).await.unwrap();
    assert_eq!(third.parts, []);
    // The encrypting host continues the message, and its reader continues at the cursor.
    append(&thread, "three ").await;
    let fourth = tail(&thread, Some(third.next)).await.unwrap();
    assert_eq!(fourth.parts, [Delta::text("three ")]);
    append(&thread, "four").await;
    assert_eq!(tail(&thread, Some(fourth.next)).await.unwrap().parts, [Delta::text("four")]);
    let (mut content, whole) = (ContentBuffer::new(&Content::empty()), tail(&thread, None).await.unwrap());
    whole.parts.iter().for_each(|part| content.push(part));
    assert_eq!(content.content(), Content::text("one two three four"));
    assert_eq!(thread.get("m".parse().unwrap()).await.unwrap().unwrap().content, content.content());
}

#[tokio::test]
async fn a_chunk_that_is_missing_repeated_or_moved_is_detected_where_plaintext_is_accepted() {
    let attacks: [fn(&mut Vec<String>); 4] = [
        |blocks| drop(blocks.remove(0)),
        |blocks| drop(blocks.pop()),
        |blocks| blocks.swap(0, 1),
        |blocks| blocks.push(blocks[0].clone()),
    ];
    for attack in attacks {
        let Migration { encrypting, proxy, _folder, .. } = Migration::open().await;
        let thread = open_message(&encrypting).await;
        append(&thread, "one ").await;
        let read = tail(&thread, None).await.unwrap();
        append(&thread, "two ").await;
        append(&thread, "three").await;
        tamper(&proxy, attack);
        let error = tail(&thread, Some(read.next)).await.unwrap_err();
        assert_eq!(
            (error.kind(), reason(&error)),
            (ErrorKind::Corrupt, Some(&Unreadable::Chunks)),
            "{error}"
        );
        // Nor may all of them be missing.
        tamper(&proxy, Vec::clear);
        let error = tail(&thread, Some(read.next)).await.unwrap_err();
        assert_eq!(reason(&error), Some(&Unreadable::Chunks), "{error}");
    }
}
