//! The progress of a transfer, for a bar.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The progress of a transfer. Clones share their counts, so another task can read them while the transfer runs.
///
/// ```
/// use throughline_core::Persistence;
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::{AnySource, Progress};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("conversations.jsonl");
/// # std::fs::write(&path, r#"{"id":"a","conversations":[{"from":"human","value":"hello"}]}"#)?;
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let progress = Progress::new();
/// let source = AnySource::detect(&path)?.with_progress(progress.clone());
/// source.import(&db).await?; // meanwhile another task reads `progress`
/// assert_eq!((progress.bytes_read(), progress.messages()), (progress.bytes_total(), 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: AtomicU64,
    read: AtomicU64,
    messages: AtomicU64,
}

impl Progress {
    /// Returns the progress of a transfer that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the bytes of the files to read. A file that is read twice counts twice. Zero until the files are known.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.0.total.load(Relaxed)
    }

    /// Returns the bytes that were read so far; at most [`bytes_total`](Self::bytes_total).
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.0.read.load(Relaxed).min(self.bytes_total())
    }

    /// Returns the messages that an import passed to the store, or a plan counted.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Relaxed)
    }

    /// Adds bytes that will be read.
    pub(crate) fn expect(&self, bytes: u64) {
        self.0.total.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn add_read(&self, bytes: u64) {
        self.0.read.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn add_messages(&self, messages: u64) {
        self.0.messages.fetch_add(messages, Relaxed);
    }

    /// Records the end: everything that was expected is read.
    pub(crate) fn finish(&self) {
        self.0.read.store(self.0.total.load(Relaxed), Relaxed);
    }
}

/// A stream whose bytes count as progress.
pub(crate) struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R, progress: &Progress) -> Self {
        Self { inner, progress: progress.clone() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add_read(read as u64);
        Ok(read)
    }
}
