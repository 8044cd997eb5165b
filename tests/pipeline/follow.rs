//! The stream of a thread: it joins a page without a gap, and continues from the cursor of each event.

use std::{collections::BTreeMap, pin::pin, task::Poll};

use throughline::{
    Content, Delta, ErrorKind, Message, MessageId, MetadataPatch, NewMessage, NewReservation, Persistence,
    Position, Role, Thread,
    changes::{StreamCursor, ThreadEvent, ThreadStream},
    layers::{
        encrypt::{EncryptLayer, Key, KeyRing},
        redact::RedactLayer,
    },
    memory::MemoryBackend,
    messages::{ContentBuffer, ContentChange, PageFrom, Reserve, UpdateMode},
    sqlite::{SqliteBackend, SqliteOptions},
    threads::Keep,
};

/// The stacks of the tests: both stores, and both under redaction and encryption.
pub(super) async fn stacks() -> Vec<Persistence> {
    let layers = || {
        let key = Key::new("k".parse().unwrap(), &[7; 32]);
        Persistence::builder().layer(RedactLayer::secrets()).layer(EncryptLayer::new(KeyRing::new(key)))
    };
    let sqlite = async || SqliteBackend::temporary().await.unwrap();
    vec![
        Persistence::builder().backend(MemoryBackend::new()).build().unwrap(),
        Persistence::builder().backend(sqlite().await).build().unwrap(),
        layers().backend(MemoryBackend::new()).build().unwrap(),
        layers().backend(sqlite().await).build().unwrap(),
    ]
}

pub(super) fn id(name: &str) -> MessageId {
    name.parse().unwrap()
}

/// A reader that keeps the thread as the events describe it.
#[derive(Default)]
pub(super) struct Reader {
    messages: BTreeMap<String, ContentBuffer>,
    /// The bytes of the shown content.
    pub(super) shown: usize,
    pub(super) events: Vec<&'static str>,
}

impl Reader {
    fn put(&mut self, message: &Message) {
        self.shown += message.content.byte_len();
        self.messages.insert(message.id.as_str().to_owned(), ContentBuffer::new(&message.content));
    }

    fn push(&mut self, id: &MessageId, parts: &[Delta]) {
        let content = self.messages.get_mut(id.as_str()).expect("a delta belongs to a known message");
        parts.iter().for_each(|part| content.push(part));
        self.shown += parts.iter().map(Delta::stored_len).sum::<usize>();
    }

    pub(super) fn take(&mut self, event: &ThreadEvent) {
        self.events.push(event.as_str());
        match event {
            ThreadEvent::Added(message) | ThreadEvent::Reserved(message) | ThreadEvent::Edited(message) => {
                self.put(message);
            }
            ThreadEvent::Delta(delta) => self.push(&delta.id, &delta.parts),
            ThreadEvent::Replaced(delta) => {
                let empty = ContentBuffer::new(&Content::empty());
                self.messages.insert(delta.id.as_str().to_owned(), empty);
                self.push(&delta.id, &delta.parts);
            }
            ThreadEvent::Deleted(deleted) => drop(self.messages.remove(deleted.id.as_str())),
            ThreadEvent::Cleared { .. } | ThreadEvent::ThreadDeleted {} => self.messages.clear(),
            _ => {}
        }
    }

    /// Asserts that the messages are those of the store, byte for byte.
    pub(super) async fn expect_same(&self, thread: &Thread) {
        let page = thread.page(PageFrom::Start, 1000).await.unwrap();
        let stored: BTreeMap<_, _> = page
            .messages
            .iter()
            .map(|message| (message.id.as_str().to_owned(), message.content.as_json().to_owned()))
            .collect();
        let known: BTreeMap<_, _> = self
            .messages
            .iter()
            .map(|(id, content)| (id.clone(), content.content().as_json().to_owned()))
            .collect();
        assert_eq!(known, stored);
    }
}

pub(super) async fn partial(thread: &Thread, name: &str, change: ContentChange) {
    thread.update_content(id(name), change, UpdateMode::Partial).await.unwrap();
}

pub(super) async fn append(thread: &Thread, name: &str, text: &str) {
    partial(thread, name, ContentChange::Append(Delta::text(text))).await;
}

pub(super) async fn reserve(thread: &Thread, name: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
    let reserve = Reserve::new(thread.id().unwrap().clone(), reservation);
    thread.persistence().run(reserve).await.unwrap();
}

/// The writes of a thread, of every kind.
const STEPS: usize = 22;

async fn write(thread: &Thread, step: usize) {
    let end = |name, mode| thread.update_content(id(name), ContentChange::none(), mode);
    match step {
        0 => drop(thread.add(NewMessage::user("Where to?").with_id(id("q"))).await.unwrap()),
        1 => reserve(thread, "a").await,
        2 => append(thread, "a", "To the é").await,
        3 => reserve(thread, "b").await,
        4 => append(thread, "b", "meanwhile").await,
        5 => append(thread, "a", " sea\n").await,
        6 => {
            let blocks = Content::from_json(r#"[{"type":"tool","id":"1"},7]"#).unwrap();
            partial(thread, "a", ContentChange::Append(Delta::Blocks(blocks))).await;
        }
        7 => partial(thread, "b", ContentChange::Replace(Content::text("another beginning"))).await,
        8 => append(thread, "b", " and more").await,
        9 => drop(thread.update(id("q"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap()),
        10 => append(thread, "a", "The end").await,
        11 => drop(end("a", UpdateMode::Final).await.unwrap()),
        12 => append(thread, "b", "!").await,
        13 => {
            let mode = UpdateMode::Abandon { reason: Some("stopped".to_owned()) };
            drop(end("b", mode).await.unwrap());
        }
        14 => drop(thread.edit(id("a"), Content::text("edited")).await.unwrap()),
        15 => drop(thread.rename("Lisbon".parse().unwrap()).await.unwrap()),
        16 => reserve(thread, "c").await,
        17 => append(thread, "c", "gone soon").await,
        18 => drop(thread.delete(id("c")).await.unwrap()),
        19 => reserve(thread, "d").await,
        20 => {
            let whole = ContentChange::Replace(Content::text("at once"));
            drop(thread.update_content(id("d"), whole, UpdateMode::Final).await.unwrap());
        }
        _ => drop(thread.delete(id("q")).await.unwrap()),
    }
}

/// Reads all events that there are now, each from a stream of its own that begins at the cursor of the event before.
async fn resume_at_each_event(thread: &Thread, reader: &mut Reader, mut cursor: String) -> String {
    loop {
        let mut stream = thread.follow(cursor.parse::<StreamCursor>().unwrap()).with_limit(7);
        let Some(next) = stream.next_now().await.unwrap() else { return stream.cursor().to_string() };
        reader.take(&next.event);
        assert_eq!(next.cursor, *stream.cursor());
        cursor = next.cursor.to_string();
    }
}

#[tokio::test]
async fn a_reader_that_is_resumed_at_each_event_has_the_thread() {
    for db in stacks().await {
        // With all changes at once, and after each number of writes.
        for read_after in [1, 2, 3, 5, 8, STEPS] {
            let thread = db.thread(format!("t{read_after}"));
            let (mut reader, mut cursor) = (Reader::default(), "0".to_owned());
            for step in 0..STEPS {
                write(&thread, step).await;
                if step % read_after == 0 {
                    cursor = resume_at_each_event(&thread, &mut reader, cursor).await;
                }
            }
            resume_at_each_event(&thread, &mut reader, cursor).await;
            reader.expect_same(&thread).await;
            assert!(reader.events.contains(&"abandoned") && reader.events.contains(&"finished"));
        }
    }
}

#[tokio::test]
async fn each_kind_of_change_is_one_event_with_its_content() {
    for db in stacks().await {
        let thread = db.thread("t");
        let mut stream = thread.follow(Position::ZERO);
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for step in 0..STEPS {
            write(&thread, step).await;
            while let Some(next) = stream.next_now().await.unwrap() {
                reader.take(&next.event);
                match &next.event {
                    ThreadEvent::Abandoned(ended) => assert_eq!(ended.reason.as_deref(), Some("stopped")),
                    ThreadEvent::Updated(message) => {
                        assert_eq!(message.metadata.get("k").unwrap().get(), "1");
                        assert_eq!(message.content, Content::empty());
                    }
                    ThreadEvent::Thread(summary) => assert_eq!(summary.title.as_str(), "Lisbon"),
                    _ => {}
                }
                events.push((step, next.event.as_str()));
            }
            reader.expect_same(&thread).await;
        }
        // Redaction shows text once it is certain, so that the steps of its content differ.
        let others: Vec<_> =
            events.iter().filter(|(_, name)| !matches!(*name, "delta" | "replaced")).copied().collect();
        assert_eq!(
            others,
            [
                (0, "added"),
                (1, "reserved"),
                (3, "reserved"),
                (9, "updated"),
                (11, "finished"),
                (13, "abandoned"),
                (14, "edited"),
                (15, "thread"),
                (16, "reserved"),
                (18, "deleted"),
                (19, "reserved"),
                (20, "finished"),
                (21, "deleted"),
            ]
        );
    }
}

#[tokio::test]
async fn a_page_and_a_stream_from_its_position_lose_nothing() {
    for db in stacks().await {
        for loaded in 0..STEPS {
            let thread = db.thread(format!("t{loaded}"));
            let mut reader = Reader::default();
            for step in 0..loaded {
                write(&thread, step).await;
            }
            let page = thread.page(PageFrom::Start, 1000).await.unwrap();
            page.messages.iter().for_each(|message| reader.put(message));
            for step in loaded..STEPS {
                write(&thread, step).await;
            }
            resume_at_each_event(&thread, &mut reader, page.position.to_string()).await;
            reader.expect_same(&thread).await;
        }
    }
}

#[tokio::test]
async fn a_growing_message_is_shown_once_however_the_reader_is_interrupted() {
    const APPENDS: usize = 300;
    for db in stacks().await {
        let thread = db.thread("t");
        reserve(&thread, "m").await;
        let writer = {
            let thread = thread.clone();
            tokio::spawn(async move {
                for number in 0..APPENDS {
                    append(&thread, "m", &format!("{number:04} of a long reply. ")).await;
                }
                let end = thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final);
                end.await.unwrap();
            })
        };
        let (mut reader, mut cursor, mut number) = (Reader::default(), StreamCursor::from(Position::ZERO), 0);
        while reader.events.last() != Some(&"finished") {
            let mut stream = thread.follow(cursor.clone());
            // Each stream is dropped after another number of events.
            for _ in 0..=number % 3 {
                let next = stream.next().await.unwrap();
                reader.take(&next.event);
                cursor = next.cursor;
                if matches!(next.event, ThreadEvent::Finished(_)) {
                    break;
                }
            }
            number += 1;
        }
        writer.await.unwrap();
        reader.expect_same(&thread).await;
        let content = thread.get(id("m")).await.unwrap().unwrap().content;
        let text = content.byte_len() - Content::text("").byte_len();
        assert_eq!(reader.shown, text + "[]".len(), "the text is shown once, and the reservation");
        assert_eq!(cursor.open().count(), 0);
    }
}

#[tokio::test]
async fn many_appends_are_one_event_for_a_slow_reader() {
    for db in stacks().await {
        let thread = db.thread("t");
        reserve(&thread, "m").await;
        for number in 0..200 {
            append(&thread, "m", &format!("{number} ")).await;
        }
        let mut stream = thread.follow(Position::ZERO);
        let mut events = Vec::new();
        while let Some(next) = stream.next_now().await.unwrap() {
            events.push(next.event.as_str());
        }
        assert_eq!(events, ["reserved", "delta"]);
        assert_eq!(stream.cursor().open().count(), 1);
    }
}

/// Polls a future this often, and then drops it.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let ready = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        match ready {
            Poll::Ready(value) => return Some(value),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_loses_and_repeats_nothing() {
    for db in stacks().await {
        let thread = db.thread("t");
        for step in 0..STEPS {
            write(&thread, step).await;
        }
        let expected = {
            let (mut stream, mut events) = (thread.follow(Position::ZERO).with_limit(5), Vec::new());
            while let Some(next) = stream.next_now().await.unwrap() {
                events.push(next);
            }
            events
        };
        let (mut stream, mut events) = (thread.follow(Position::ZERO).with_limit(5), Vec::new());
        while events.len() < expected.len() {
            for times in [1, 2, 3, usize::MAX] {
                if let Some(next) = polled(stream.next_now(), times).await {
                    events.extend(next.unwrap());
                }
            }
        }
        assert_eq!(events, expected);
    }
}

async fn kind_of_next(stream: &mut ThreadStream) -> ErrorKind {
    stream.next_now().await.unwrap_err().kind()
}

#[tokio::test]
async fn a_position_that_is_not_kept_is_too_old_and_an_invalid_thread_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteOptions::new().changes_kept(2).open(folder.path().join("chat.db")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    for step in 0..10 {
        write(&thread, step).await;
    }
    let mut stream = thread.follow(Position::new(1));
    assert_eq!(kind_of_next(&mut stream).await, ErrorKind::TooOld);
    assert_eq!(kind_of_next(&mut stream).await, ErrorKind::TooOld, "the stream stays at its cursor");
    assert_eq!(stream.cursor().position(), Position::new(1));
    assert_eq!(kind_of_next(&mut db.thread("").follow(Position::ZERO)).await, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_cursor_of_another_copy_shows_the_content_again() {
    for db in stacks().await {
        let thread = db.thread("t");
        reserve(&thread, "m").await;
        append(&thread, "m", "some text of a reply. ").await;
        let mut reader = Reader::default();
        // An offset behind the end, and one of content that was replaced.
        for content in ["0.100000.2", "9.3.2"] {
            let position = thread.page(PageFrom::Start, 1).await.unwrap().position;
            append(&thread, "m", " more and more of it, until the end. ").await;
            let cursor: StreamCursor = format!("{position};1.{content}").parse().unwrap();
            let mut stream = thread.follow(cursor);
            let next = stream.next_now().await.unwrap().unwrap();
            reader.take(&next.event);
            assert_eq!(next.event.as_str(), "replaced");
            reader.expect_same(&thread).await;
        }
    }
}

#[tokio::test]
async fn a_clear_a_prune_and_a_deletion_end_the_messages() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let thread = db.thread("t");
    let mut stream = thread.follow(Position::ZERO);
    let next = async |stream: &mut ThreadStream| stream.next_now().await.unwrap().unwrap().event;
    reserve(&thread, "m").await;
    append(&thread, "m", "text").await;
    assert_eq!(next(&mut stream).await.as_str(), "reserved");
    assert_eq!(next(&mut stream).await.as_str(), "delta");
    assert_eq!(stream.cursor().open().count(), 1);
    thread.clear().await.unwrap();
    assert!(matches!(next(&mut stream).await, ThreadEvent::Cleared { through, .. } if through.get() == 1));
    assert_eq!(stream.cursor().open().count(), 0);
    thread.add(NewMessage::user("x")).await.unwrap();
    assert_eq!(next(&mut stream).await.as_str(), "added");
    thread.prune(Keep::everything().messages(0)).await.unwrap();
    assert!(matches!(next(&mut stream).await, ThreadEvent::Pruned { through } if through.get() == 2));
    thread.delete_thread().await.unwrap();
    assert_eq!(next(&mut stream).await, ThreadEvent::ThreadDeleted {});
    assert!(stream.next_now().await.unwrap().is_none());
}
