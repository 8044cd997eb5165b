//! A message that is streamed costs what it says, and is never seen but as the beginning of itself.

use std::{fs, path::Path};

use rusqlite::Connection;
use throughline_core::{
    Content, Delta, Message, MessageId, MessageState, NewReservation, Persistence, Role, Thread,
    messages::{ContentChange, PageFrom, Reserve, UpdateMode},
};
use throughline_reliability::{Report, scaled};
use throughline_sqlite::SqliteBackend;
use tokio::sync::watch;

/// How many pieces a message is streamed in.
const PIECES: u64 = 1000;

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

/// How long the log of the file is.
fn log_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Asked of the directory: to open and close the file would drop the locks of SQLite.
    fs::metadata(log).unwrap().len()
}

/// How many bytes a streamed message has written.
#[derive(Clone, Copy)]
struct Written {
    /// With its pieces.
    appended: u64,
    /// And with its end.
    settled: u64,
}

/// Streams a message in pieces of so many bytes into a store of its own, and settles it.
async fn stream(piece_bytes: usize) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    reserve(&thread).await;
    // Somebody reads the store as it was before: its log is not written from the beginning again, and holds in the end
    // every page that was written.
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let before = log_bytes(&path);
    let piece = "x".repeat(piece_bytes);
    for _ in 0..PIECES {
        append(&thread, &piece).await;
    }
    let appended = log_bytes(&path) - before;
    thread.update_content(id(), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let settled = log_bytes(&path) - before;
    let streamed = thread.get(id()).await.unwrap().unwrap();
    assert_eq!(streamed.content, Content::text(&piece.repeat(PIECES as usize)));
    drop(reader);
    db.close().await.unwrap();
    Written { appended, settled }
}

#[tokio::test]
async fn a_thousand_appends_write_what_they_say_and_a_constant_for_each() {
    let mut report = Report::new("STREAMING-COST");
    // The first says next to nothing: what its commits cost is the constant.
    let (constant, short, long) = tokio::join!(stream(1), stream(32), stream(1024));
    report.count("appended_bytes[1000]", constant.appended);
    for (piece_bytes, written) in [(32, short), (1024, long)] {
        let said = PIECES * piece_bytes;
        let beyond = written.appended.saturating_sub(constant.appended);
        report.count(format!("appended_bytes[{said}]"), written.appended);
        report.count(format!("settled_bytes[{said}]"), written.settled);
        report.count(format!("times_what_was_said[{said}]"), format!("{:.2}", beyond as f64 / said as f64));
        assert!(beyond <= 4 * said, "{beyond} bytes more than {} for {said}", constant.appended);
        // Its end writes all of it once more, and the pages that its pieces were on.
        let end = written.settled - written.appended;
        assert!(end <= 4 * said, "{end} bytes for the end of {said}");
    }
    report.finish();
}

/// Pieces of all lengths, as text with characters of several bytes, quotes and line breaks.
fn pieces(random: &mut fastrand::Rng, count: u64) -> Vec<String> {
    let alphabet = ['a', 'b', ' ', '"', '\\', '\n', 'é', '世', '🦀'];
    let piece = |_| {
        let length = random.usize(1..60);
        (0..length).map(|_| random.choice(alphabet).unwrap()).collect()
    };
    (0..count).map(piece).collect()
}

/// What a message may be seen as: after each of its writes.
struct Prefixes(Vec<Content>);

impl Prefixes {
    fn of(pieces: &[String]) -> Self {
        let mut text = String::new();
        let mut prefixes = vec![Content::empty()];
        for piece in pieces {
            text.push_str(piece);
            prefixes.push(Content::text(&text));
        }
        Self(prefixes)
    }

    /// Which of them the message shows: a revision is a write, and settling it is one that says nothing.
    fn shown(&self, message: &Message) -> usize {
        let writes = usize::try_from(message.revision.get()).unwrap() - 1;
        let pieces = writes.min(self.0.len() - 1);
        assert!(message.content == self.0[pieces], "revision {} shows another text", message.revision);
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
async fn a_streamed_message_is_read_as_a_beginning_that_never_shrinks() {
    /// How many pieces are written before another read has to have been made.
    const STRIDE: usize = 20;

    let mut report = Report::new("STREAMING-READ");
    let pieces = pieces(&mut report.random(), scaled(PIECES / 2));
    let prefixes = Prefixes::of(&pieces);
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
    for (n, piece) in pieces.iter().enumerate() {
        append(&thread, piece).await;
        if reads.wait_for(|reads| *reads >= n / STRIDE).await.is_err() {
            break;
        }
    }
    thread.update_content(id(), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let (reads, lengths) = reading.await.unwrap();
    report.count("pieces", pieces.len());
    report.count("reads", reads);
    report.fired("read between two writes", lengths.saturating_sub(1));
    db.close().await.unwrap();
    report.finish();
}
