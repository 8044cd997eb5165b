//! The reading side of an import: collects the messages of a source, and passes them to the writer.

use std::sync::Arc;

use throughline_core::{
    ErrorKind, MessageId, Persistence, ThreadId,
    messages::{Import, ImportRow, PageFrom},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    Conversation, Sink, Step,
    calls::{admitted, refused},
};
use crate::{Location, TransferError};

/// The most items, and the most bytes of messages, that wait for the writer. A single message may be larger.
const WAITING: usize = 16;
const WAITING_BYTES: u32 = 8 << 20;
/// The most rows of one import: as many as an import can have, because a larger transaction writes fewer pages for each row. An
/// import also has a limit of bytes, unless a single row is larger.
const ROWS: usize = Import::MAX_ROWS;
const BYTES: usize = 1 << 20;
/// The most messages that [`Sink::latest`] returns.
const LATEST: u32 = 50;

/// An item for the writer, in the order of the source.
#[derive(Debug)]
pub(super) enum Item {
    Begin(Box<Conversation>),
    Rows(Rows),
    End,
}

/// An item, and the permits for the bytes of its messages. They are free again when the writer has written them.
pub(super) type Waiting = (Item, Option<OwnedSemaphorePermit>);

/// Messages of one conversation, and the location of each.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<ImportRow>,
    pub(super) locations: Vec<Location>,
    bytes: usize,
}

/// Passes items to the writer: messages not one by one but as one import, because each transfer between the threads can wake
/// the other one.
pub(super) struct ToWriter {
    items: mpsc::Sender<Waiting>,
    /// A permit for each byte of the messages that wait for the writer, [`WAITING_BYTES`] in total.
    waiting: Arc<Semaphore>,
    /// The next import.
    collected: Rows,
    db: Persistence,
    runtime: Handle,
}

impl ToWriter {
    /// Returns a sink for a reading thread, and the end of the writer. Needs a tokio runtime.
    pub(super) fn new(db: &Persistence) -> (Self, mpsc::Receiver<Waiting>) {
        let (items, taken) = mpsc::channel(WAITING);
        let waiting = Arc::new(Semaphore::new(WAITING_BYTES as usize));
        let (db, runtime) = (db.clone(), Handle::current());
        (Self { items, waiting, collected: Rows::default(), db, runtime }, taken)
    }

    /// Passes the collected messages; `None` if the writer stopped.
    fn pass_collected(&mut self) -> Option<()> {
        if self.collected.rows.is_empty() {
            return Some(());
        }
        let rows = std::mem::take(&mut self.collected);
        let bytes = u32::try_from(rows.bytes).unwrap_or(u32::MAX).min(WAITING_BYTES);
        let permit = self.runtime.block_on(Arc::clone(&self.waiting).acquire_many_owned(bytes)).ok()?;
        self.items.blocking_send((Item::Rows(rows), Some(permit))).ok()
    }

    fn collect(&mut self, row: ImportRow, location: Location) -> Option<()> {
        let bytes = bytes_of(&row);
        if self.collected.bytes + bytes > BYTES {
            self.pass_collected()?;
        }
        self.collected.bytes += bytes;
        self.collected.rows.push(row);
        self.collected.locations.push(location);
        if self.collected.rows.len() < ROWS && self.collected.bytes < BYTES {
            return Some(());
        }
        // At once, so that a large message does not wait here while the reader holds the next one.
        self.pass_collected()
    }
}

impl Sink for ToWriter {
    fn take(&mut self, step: Step) -> Option<()> {
        let item = match step {
            Step::Row(row, location) => return self.collect(*row, location),
            Step::Begin(conversation) => Item::Begin(conversation),
            Step::End => Item::End,
        };
        self.pass_collected()?;
        self.items.blocking_send((item, None)).ok()
    }

    fn latest(&mut self, thread: &ThreadId) -> Result<Vec<MessageId>, TransferError> {
        let read = || self.db.thread(thread).page(PageFrom::End, LATEST).into_future();
        let page = self.runtime.block_on(admitted(read));
        match page {
            Ok(page) => Ok(page.messages.into_iter().rev().map(|message| message.id).collect()),
            // The writer reports a deleted thread.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => Ok(Vec::new()),
            // The writer reports the damage in this thread.
            Err(error) => refused(error, thread).map(|_| Vec::new()),
        }
    }

    fn has(&mut self, thread: &ThreadId, message: &MessageId) -> Result<bool, TransferError> {
        let read = || self.db.thread(thread).get(message.clone()).into_future();
        let found = self.runtime.block_on(admitted(read));
        match found {
            Ok(found) => Ok(found.is_some()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => Ok(false),
            // The thread has it, although it is damaged.
            Err(error) => refused(error, thread).map(|_| true),
        }
    }
}

/// Returns the bytes of a message that count.
fn bytes_of(row: &ImportRow) -> usize {
    row.content.byte_len() + row.metadata.byte_len()
}

#[cfg(test)]
mod tests {
    use throughline_core::{Content, Role, Timestamp};
    use throughline_memory::MemoryBackend;
    use tokio::task::spawn_blocking;

    use super::*;

    const ALL: usize = WAITING_BYTES as usize;

    /// Returns a step with a message of this number of bytes.
    fn row(bytes: usize) -> Step {
        let content = Content::text(&"x".repeat(bytes - r#"[{"type":"text","text":""}]"#.len()));
        let row = ImportRow::new("m".parse().unwrap(), Role::User, content, Timestamp::from_micros(0));
        assert_eq!(bytes_of(&row), bytes);
        Step::Row(Box::new(row), Location::File("f".into()))
    }

    async fn take(mut sink: ToWriter, steps: impl IntoIterator<Item = Step> + Send + 'static) -> ToWriter {
        let taken = spawn_blocking(move || {
            steps.into_iter().for_each(|step| sink.take(step).unwrap());
            sink
        });
        taken.await.unwrap()
    }

    fn sink() -> (ToWriter, mpsc::Receiver<Waiting>) {
        ToWriter::new(&Persistence::builder().backend(MemoryBackend::new()).build().unwrap())
    }

    fn lengths(taken: &mut mpsc::Receiver<Waiting>) -> Vec<usize> {
        let items = std::iter::from_fn(|| taken.try_recv().ok());
        let lengths = items.map(|(item, _)| match item {
            Item::Rows(rows) => {
                assert_eq!(rows.rows.len(), rows.locations.len());
                rows.rows.len()
            }
            Item::Begin(_) | Item::End => 0,
        });
        lengths.collect()
    }

    #[tokio::test]
    async fn the_bytes_of_a_message_count_until_the_writer_has_written_it() {
        let (mut sink, mut taken) = sink();
        for (bytes, free) in [(1_000, ALL - 1_000), (2 * ALL, 0)] {
            sink = take(sink, [row(bytes), Step::End]).await;
            assert_eq!(sink.waiting.available_permits(), free);
            assert_eq!(lengths(&mut taken), [1, 0]);
            assert_eq!(sink.waiting.available_permits(), ALL);
        }
    }

    #[tokio::test]
    async fn an_import_ends_at_its_limit_of_rows_and_with_its_conversation() {
        let (sink, mut taken) = sink();
        let sink = take(sink, (0..2 * ROWS + 1).map(|_| row(100))).await;
        assert_eq!(lengths(&mut taken), [ROWS, ROWS]);
        drop(take(sink, [Step::End]).await);
        assert_eq!(lengths(&mut taken), [1, 0]);
    }

    #[tokio::test]
    async fn an_import_ends_before_the_message_that_exceeds_its_limit_of_bytes() {
        let (sink, mut taken) = sink();
        let sink = take(sink, [row(BYTES - 100), row(100), row(BYTES - 100), row(101)]).await;
        assert_eq!(lengths(&mut taken), [2, 1]);
        // A message that fills an import is passed at once.
        let sink = take(sink, [row(2 * BYTES), row(BYTES)]).await;
        assert_eq!(lengths(&mut taken), [1, 1, 1]);
        assert!(sink.collected.rows.is_empty());
    }
}
