//! The contenders, and what a run of one costs.

use std::{
    fmt, fs,
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use throughline::{
    NewMessage, Persistence, ThreadId,
    messages::{Add, Batch},
    sqlite::SqliteBackend,
    transfer::{ClaudeCode, Ndjson, Report},
};

use crate::{Failure, Load, claude_code_log, stack, text::TEXT};

/// The adds of a batch.
const BATCH: usize = 100;

/// A way to bring the messages into a new store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// One task adds them in batches.
    Batch,
    /// An import of a file in the native format.
    Ndjson,
    /// An import of logs of Claude Code, one for each thread.
    ClaudeCode,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Batch, Self::Ndjson, Self::ClaudeCode];

    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Ndjson => "ndjson",
            Self::ClaudeCode => "claude_code",
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|contender| contender.name() == name);
        found.ok_or_else(|| format!("`{name}` is no contender"))
    }
}

/// The cost of one run, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) elapsed: f64,
    /// The processor time of all threads of the process, in the kernel too.
    pub(crate) processor: f64,
}

/// The same messages in every form.
pub(crate) struct Sources<'a> {
    folder: &'a TempDir,
    load: Load,
    ndjson: PathBuf,
    logs: PathBuf,
}

impl<'a> Sources<'a> {
    pub(crate) async fn create(folder: &'a TempDir, load: Load) -> Result<Self, Failure> {
        let (ndjson, logs) = (folder.path().join("store.ndjson"), folder.path().join("project"));
        fs::create_dir(&logs)?;
        claude_code_log::write(&logs, load)?;
        let sources = Self { folder, load, ndjson, logs };
        let db = sources.open().await?;
        sources.add(&db).await?;
        let written = Ndjson::create(&sources.ndjson)?.export(&db).await?;
        db.close().await?;
        sources.expect_all(&written)?;
        Ok(sources)
    }

    /// Opens an empty store.
    async fn open(&self) -> Result<Persistence, Failure> {
        let path = self.folder.path().join("store.db");
        for suffix in ["", "-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{suffix}", path.display())));
        }
        stack::over(SqliteBackend::open(path).await?)
    }

    pub(crate) async fn measure(&self, contender: Contender) -> Result<Cost, Failure> {
        let db = self.open().await?;
        let (begun, processor) = (Instant::now(), processor_time());
        match contender {
            Contender::Batch => self.add(&db).await?,
            Contender::Ndjson => self.expect_all(&Ndjson::open(&self.ndjson)?.import(&db).await?)?,
            Contender::ClaudeCode => self.expect_all(&ClaudeCode::open(&self.logs)?.import(&db).await?)?,
        }
        db.close().await?;
        let processor = processor_time() - processor;
        Ok(Cost { elapsed: begun.elapsed().as_secs_f64(), processor: processor.as_secs_f64() })
    }

    /// Adds the messages in batches.
    async fn add(&self, db: &Persistence) -> Result<(), Failure> {
        for thread in 0..self.load.threads {
            let id: ThreadId = format!("thread-{thread}").parse()?;
            let messages: Vec<usize> = self.load.messages_of(thread).collect();
            for numbers in messages.chunks(BATCH) {
                let adds = numbers.iter().map(|number| Add::new(id.clone(), message(*number)).into());
                db.batch(Batch::of(adds.collect())).await?;
            }
        }
        Ok(())
    }

    fn expect_all(&self, report: &Report) -> Result<(), Failure> {
        let is_whole = report.skipped.is_empty() && report.warnings.is_empty();
        if is_whole && report.messages == self.load.messages as u64 {
            return Ok(());
        }
        Err(format!("not every message was transferred: {report}").into())
    }
}

impl Load {
    /// Returns the numbers of the messages of a thread.
    pub(crate) fn messages_of(self, thread: usize) -> std::ops::Range<usize> {
        let first = |thread| thread * self.messages / self.threads;
        first(thread)..first(thread + 1)
    }
}

/// Returns the text of a message.
pub(crate) fn text_of(number: usize) -> String {
    format!("{number}: {TEXT}")
}

/// Returns a message of the user or, every second one, of the assistant.
fn message(number: usize) -> NewMessage {
    let text = text_of(number);
    if number.is_multiple_of(2) { NewMessage::user(&text) } else { NewMessage::assistant(&text) }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
