//! The stream of a thread for a reader that is behind: many open messages, and long content.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    Content, Delta, PersistArgs, PersistRequest, Persistence, Phase, Position, ReadArgs, Thread,
    changes::{StreamCursor, StreamEvent, ThreadEvent},
    layers::encrypt::{EncryptLayer, Key, KeyRing},
    memory::MemoryBackend,
    messages::{ContentChange, PageFrom, UpdateMode},
    plugin::{NextRequest, from_fn},
    sqlite::SqliteBackend,
};

use crate::follow::{Reader, append, id, partial, reserve, stacks};

const MIB: usize = 1 << 20;

async fn finish(thread: &Thread, name: &str) {
    thread.update_content(id(name), ContentChange::none(), UpdateMode::Final).await.unwrap();
}

/// Reads all events that there are now. Fails if they do not end.
async fn drain(thread: &Thread, cursor: &mut StreamCursor, limit: Option<u32>) -> Vec<StreamEvent> {
    let mut stream = thread.follow(cursor.clone());
    if let Some(limit) = limit {
        stream = stream.with_limit(limit);
    }
    let mut events = Vec::new();
    while let Some(next) = stream.next_now().await.unwrap() {
        events.push(next);
        assert!(events.len() < 10_000, "the stream shows the same again and again");
    }
    *cursor = stream.cursor().clone();
    events
}

#[tokio::test]
async fn more_open_messages_than_a_cursor_has_are_each_finished_once() {
    for db in stacks().await {
        for (open, text, limit) in [
            (65, "", None),
            (65, "", Some(5)),
            (65, "some text of a reply", None),
            (65, "some text of a reply", Some(5)),
            (70, "some text of a reply", None),
            (70, "some text of a reply", Some(5)),
        ] {
            let thread = db.thread(format!("t{open}-{}-{limit:?}", text.len()));
            let names: Vec<String> = (1..=open).map(|number| format!("m{number}")).collect();
            let (mut reader, mut cursor) = (Reader::default(), StreamCursor::from(Position::ZERO));
            let mut finished = Vec::new();
            let mut take = |events: &[StreamEvent]| {
                for next in events {
                    reader.take(&next.event);
                    if let ThreadEvent::Finished(ended) = &next.event {
                        finished.push(ended.id.to_string());
                    }
                }
            };
            for name in &names {
                reserve(&thread, name).await;
            }
            take(&drain(&thread, &mut cursor, limit).await);
            assert_eq!(cursor.open().count(), StreamCursor::MAX_OPEN);
            for name in &names {
                append(&thread, name, text).await;
                finish(&thread, name).await;
            }
            take(&drain(&thread, &mut cursor, limit).await);
            assert_eq!(finished, names);
            reader.expect_same(&thread).await;
            assert_eq!(reader.shown, names.len() * (text.len() + "[]".len()), "the text is shown once");
            if limit.is_none() {
                // Reserved and finished, with the text between. An empty message is shown only if it lost its cursor.
                let shown = if text.is_empty() { 2 } else { names.len() };
                assert_eq!(reader.events.len(), names.len() * 2 + shown);
            }
            let end = thread.page(PageFrom::Start, 1).await.unwrap().position;
            assert_eq!((cursor.position(), cursor.open().count()), (end, 0));
        }
    }
}

/// Stores that count the tail reads that reach them: without layers, and behind encryption.
async fn counted() -> Vec<(Persistence, Arc<AtomicUsize>, bool)> {
    let mut stacks = Vec::new();
    for is_encrypted in [false, true] {
        for is_memory in [false, true] {
            let reads = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&reads);
            let counting =
                from_fn("counting", Phase::Route, move |request: PersistRequest, next: NextRequest| {
                    if matches!(request.args, PersistArgs::Read(ReadArgs::Content(_))) {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    next.run(request)
                });
            let encrypt = || EncryptLayer::new(KeyRing::new(Key::new("k".parse().unwrap(), &[7; 32])));
            let sqlite = async || SqliteBackend::temporary().await.unwrap();
            let builder = Persistence::builder();
            let db = match (is_encrypted, is_memory) {
                (false, true) => builder.layer(counting).backend(MemoryBackend::new()).build(),
                (false, false) => builder.layer(counting).backend(sqlite().await).build(),
                (true, true) => {
                    builder.layer(encrypt()).layer(counting).backend(MemoryBackend::new()).build()
                }
                (true, false) => builder.layer(encrypt()).layer(counting).backend(sqlite().await).build(),
            };
            stacks.push((db.unwrap(), reads, is_encrypted));
        }
    }
    stacks
}

/// The most bytes of content that a stream keeps.
const KEPT: usize = MIB / 4;

#[tokio::test]
async fn long_content_is_read_in_parts_that_a_stream_keeps() {
    for (db, reads, is_encrypted) in counted().await {
        for is_settled in [false, true] {
            for length in [KEPT, 2 * KEPT] {
                let thread = db.thread(format!("t{length}-{is_settled}"));
                reserve(&thread, "m").await;
                for _ in 0..length / (MIB / 8) {
                    append(&thread, "m", &"x".repeat(MIB / 8)).await;
                }
                if is_settled {
                    finish(&thread, "m").await;
                }
                reads.store(0, Ordering::SeqCst);
                let (mut reader, mut cursor) = (Reader::default(), StreamCursor::from(Position::ZERO));
                let events = drain(&thread, &mut cursor, None).await;
                // Ciphertext is longer, and the text of a write is never divided: an answer has one write.
                let part = if is_encrypted { MIB / 8 } else { KEPT };
                assert_eq!(reads.load(Ordering::SeqCst), length / part);
                events.iter().for_each(|next| reader.take(&next.event));
                let ends = usize::from(is_settled);
                assert_eq!(reader.events.len(), 1 + length / (64 << 10) + ends);
                reader.expect_same(&thread).await;
                assert_eq!(reader.shown, length + "[]".len());
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_within_an_answer_continues_whatever_is_written_meanwhile() {
    let blocks =
        || Content::from_json(r#"[{"type":"tool","id":"1"},7,{"type":"text","text":"é\n"}]"#).unwrap();
    for db in stacks().await {
        for shown in 1..12 {
            for (step, is_replaced) in [("append", false), ("finish", false), ("replace", true)] {
                let thread = db.thread(format!("t{shown}-{step}"));
                reserve(&thread, "m").await;
                append(&thread, "m", "a text that is long enough").await;
                partial(&thread, "m", ContentChange::Append(Delta::Blocks(blocks()))).await;
                append(&thread, "m", " and \"more\" text").await;
                let mut reader = Reader::default();
                let mut stream = thread.follow(Position::ZERO).with_limit(7);
                for _ in 0..shown {
                    if let Some(next) = stream.next_now().await.unwrap() {
                        reader.take(&next.event);
                    }
                }
                let cursor: StreamCursor = stream.cursor().to_string().parse().unwrap();
                match step {
                    "append" => append(&thread, "m", ", and the end. ").await,
                    "finish" => finish(&thread, "m").await,
                    _ => partial(&thread, "m", ContentChange::Replace(Content::text("another"))).await,
                }
                let begins_again = reader.events.len();
                // Each event is of a stream of its own.
                let mut at = cursor;
                while let Some(next) = thread.follow(at).with_limit(7).next_now().await.unwrap() {
                    reader.take(&next.event);
                    at = next.cursor;
                    assert!(reader.events.len() < 100, "the stream shows the same again and again");
                }
                if shown > 1 {
                    let replaced = reader.events[begins_again..].contains(&"replaced");
                    assert_eq!(replaced, is_replaced, "{step} after {shown} events");
                }
                reader.expect_same(&thread).await;
            }
        }
    }
}

/// A single write is one part of every answer behind encryption, however long it is.
#[tokio::test]
async fn a_write_that_is_longer_than_a_stream_keeps_is_shown_once_wherever_the_reader_continues() {
    for (db, _, _) in counted().await {
        let thread = db.thread("t");
        reserve(&thread, "m").await;
        append(&thread, "m", &"é\n".repeat(KEPT / 2)).await;
        let blocks = vec![r#"{"x":1}"#; KEPT / 64].join(",");
        let blocks = Content::from_json(format!("[{blocks}]")).unwrap();
        partial(&thread, "m", ContentChange::Append(Delta::Blocks(blocks))).await;
        let (mut reader, mut cursor) = (Reader::default(), StreamCursor::from(Position::ZERO));
        let mut stream = thread.follow(cursor.clone());
        let mut left = 0;
        while let Some(next) = stream.next_now().await.unwrap() {
            reader.take(&next.event);
            cursor = next.cursor;
            left += 1;
            // Each stream ends after another number of events, within what it keeps and at its end.
            if left % 3 == 0 || left % 4 == 0 {
                stream = thread.follow(cursor.to_string().parse::<StreamCursor>().unwrap());
            }
            assert!(left < 100, "the stream shows the same again and again");
        }
        assert!(!reader.events.contains(&"replaced"), "{:?}", reader.events);
        reader.expect_same(&thread).await;
    }
}
