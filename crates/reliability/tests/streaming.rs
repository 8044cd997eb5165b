//! The writes of a streamed message are proportional to its length, and every read returns a prefix of it.

use std::{fs, path::Path};

use rusqlite::Connection;
use throughline_core::{
    Content, Delta, Message, MessageId, MessageState, NewReservation, Persistence, Role, Thread,
    messages::{ContentChange, PageFrom, Reserve, UpdateMode},
};
use throughline_reliability::{Report, scaled};
use throughline_sqlite::SqliteBackend;
use tokio::sync::watch;

/// The number of chunks of a streamed message.
const CHUNKS: u64 = 1000;

fn id() -> MessageId {
    "streamed".parse().unwrap()
}

async fn reserve(thread: &Thread) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id());
    let reserve = Reserve::new(thread.id().unwrap().clone(), reservation);
    thread.persistence().run(reserve).await.unwrap();
}

async fn append(thread: &Thread, text: &str) {
    let change = ContentChange::Append(Delta::text(text));
    thread.update_content(id(), change, UpdateMode::Partial).await.unwrap();
}

/// Returns the length of the WAL.
fn wal_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // From the directory: closing the file would release the locks of SQLite.
    fs::metadata(log).unwrap().len()
}

/// The bytes that a streamed message wrote to the WAL.
#[derive(Clone, Copy)]
struct Written {
    /// By its appends.
    appended: u64,
    /// By its appends and its end.
    settled: u64,
}

/// Streams a message in chunks of this many bytes into a new store, and finishes it.
async fn stream(chunk_bytes: usize) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    reserve(&thread).await;
    // An open read transaction prevents that SQLite overwrites the WAL from its beginning. So the WAL keeps every written
    // page.
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let before = wal_bytes(&path);
    let chunk = "x".repeat(chunk_bytes);
    for _ in 0..CHUNKS {
        append(&thread, &chunk).await;
    }
    let appended = wal_bytes(&path) - before;
    thread.update_content(id(), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let settled = wal_bytes(&path) - before;
    let streamed = thread.get(id()).await.unwrap().unwrap();
    assert_eq!(streamed.content, Content::text(&chunk.repeat(CHUNKS as usize)));
    drop(reader);
    db.close().await.unwrap();
    Written { appended, settled }
}

#[tokio::test]
async fn appends_write_their_text_and_a_constant_number_of_bytes() {
    let mut report = Report::new("STREAMING-COST");
    // The chunks of the first message are almost empty: its commits measure the constant.
    let (constant, short, long) = tokio::join!(stream(1), stream(32), stream(1024));
    report.count("appended_bytes[1000]", constant.appended);
    for (chunk_bytes, written) in [(32, short), (1024, long)] {
        let text_bytes = CHUNKS * chunk_bytes;
        let beyond = written.appended.saturating_sub(constant.appended);
        report.count(format!("appended_bytes[{text_bytes}]"), written.appended);
        report.count(format!("settled_bytes[{text_bytes}]"), written.settled);
        report.count(
            format!("times_the_text[{text_bytes}]"),
            format!("{:.2}", beyond as f64 / text_bytes as f64),
        );
        assert!(beyond <= 4 * text_bytes, "{beyond} bytes more than {} for {text_bytes}", constant.appended);
        // Its end writes the whole content again, and the pages of its deleted chunks.
        let end = written.settled - written.appended;
        assert!(end <= 4 * text_bytes, "{end} bytes for the end of {text_bytes}");
    }
    report.finish();
}

/// Returns chunks of many lengths, with characters of several bytes, quotes and line breaks.
fn chunks(random: &mut fastrand::Rng, count: u64) -> Vec<String> {
    let alphabet = ['a', 'b', ' ', '"', '\\', '\n', 'é', '世', '🦀'];
    let chunk = |_| {
        let length = random.usize(1..60);
        (0..length).map(|_| random.choice(alphabet).unwrap()).collect()
    };
    (0..count).map(chunk).collect()
}

/// The content of the message after each of its writes.
struct Prefixes(Vec<Content>);

impl Prefixes {
    fn of(chunks: &[String]) -> Self {
        let mut text = String::new();
        let mut prefixes = vec![Content::empty()];
        for chunk in chunks {
            text.push_str(chunk);
            prefixes.push(Content::text(&text));
        }
        Self(prefixes)
    }

    /// Returns the number of writes that the message shows. Each write is a revision, and the last one only finishes the message.
    fn shown(&self, message: &Message) -> usize {
        let writes = usize::try_from(message.revision.get()).unwrap() - 1;
        let chunks = writes.min(self.0.len() - 1);
        assert!(message.content == self.0[chunks], "revision {} shows another text", message.revision);
        let state = match writes {
            0 => MessageState::Reserved,
            _ if writes < self.0.len() => MessageState::Streaming,
            _ => MessageState::Final,
        };
        assert_eq!(message.state, state);
        writes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_a_streamed_message_return_prefixes_that_never_shrink() {
    /// The number of chunks that are written between two reads.
    const STRIDE: usize = 20;

    let mut report = Report::new("STREAMING-READ");
    let chunks = chunks(&mut report.random(), scaled(CHUNKS / 2));
    let prefixes = Prefixes::of(&chunks);
    let db = Persistence::builder().backend(SqliteBackend::temporary().await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    reserve(&thread).await;
    let (read, mut reads) = watch::channel(0_usize);
    let reading = tokio::spawn({
        let thread = thread.clone();
        async move {
            let (mut seen, mut lengths) = (0, 0_u64);
            while seen < prefixes.0.len() {
                for message in [
                    thread.get(id()).await.unwrap().unwrap(),
                    thread.page(PageFrom::End, 1).await.unwrap().messages.remove(0),
                ] {
                    let shown = prefixes.shown(&message);
                    assert!(shown >= seen, "{shown} writes are shown after {seen}");
                    lengths += u64::from(shown > seen);
                    seen = shown;
                }
                read.send_modify(|reads| *reads += 1);
            }
            (*read.borrow(), lengths)
        }
    });
    for (n, chunk) in chunks.iter().enumerate() {
        append(&thread, chunk).await;
        if reads.wait_for(|reads| *reads >= n / STRIDE).await.is_err() {
            break;
        }
    }
    thread.update_content(id(), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let (reads, lengths) = reading.await.unwrap();
    report.count("chunks", chunks.len());
    report.count("reads", reads);
    report.fired("read between two writes", lengths.saturating_sub(1));
    db.close().await.unwrap();
    report.finish();
}
