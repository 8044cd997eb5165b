use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use throughline::{
    NewMessage, Persistence, Position, ThreadId,
    messages::{Add, Batch},
    search::SearchMessages,
    sqlite::SqliteOptions,
};
use tokio::task::JoinSet;

use crate::{Failure, words};

/// The number of messages of a thread.
const LENGTH: usize = 100;

/// The number of threads that a writer has at work at the same time, and the number of messages that it adds to each of them
/// in one batch. The messages of a thread are therefore spread over the file, as those of a host with many users are.
const ACTIVE: usize = 12;
const PART: usize = 20;

/// Two writers, so that one prepares a batch while the other commits. Each fills every other group
/// of threads, so that the first messages of every store are nearly the same.
const WRITERS: usize = 2;

/// The file next to a filled store with the bytes of its contents.
const CONTENT_BYTES: &str = "content_bytes";

/// A closed store with threads of [`LENGTH`] messages.
pub(crate) struct Filled {
    pub(crate) messages: usize,
    pub(crate) threads: usize,
    /// The bytes of the contents of all messages, as JSON.
    pub(crate) content_bytes: u64,
    /// Whether it has a full-text index.
    pub(crate) search: bool,
    folder: PathBuf,
}

impl Filled {
    /// Returns the store that an earlier run has filled in this folder.
    pub(crate) fn earlier(folder: &Path, messages: usize, search: bool) -> Result<Option<Self>, Failure> {
        let mut store = Self::new(folder, messages, search);
        match fs::read_to_string(store.folder.join(CONTENT_BYTES)) {
            Ok(bytes) => {
                store.content_bytes = bytes.parse()?;
                Ok(Some(store))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn new(folder: &Path, messages: usize, search: bool) -> Self {
        let folder = folder.join(format!("{messages}{}", if search { "" } else { "-unindexed" }));
        Self { messages, threads: messages / LENGTH, content_bytes: 0, search, folder }
    }

    pub(crate) async fn create(folder: &Path, messages: usize, search: bool) -> Result<Self, Failure> {
        let mut store = Self::new(folder, messages, search);
        fs::create_dir(&store.folder)?;
        let db = store.open().await?;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(fill(db.clone(), writer, store.threads));
        }
        let mut last = Position::ZERO;
        while let Some(written) = writers.join_next().await {
            let (bytes, position) = written??;
            store.content_bytes += bytes;
            last = last.max(position);
        }
        while search && db.search(SearchMessages::new(words::RARE, 1)).await?.indexed < last {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while search && store.lacks_vocabularies()? {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        db.close().await?;
        fs::write(store.folder.join(CONTENT_BYTES), store.content_bytes.to_string())?;
        Ok(store)
    }

    pub(crate) async fn open(&self) -> Result<Persistence, Failure> {
        let backend = SqliteOptions::new().search(self.search).open(self.folder.join("chat.db")).await?;
        Ok(Persistence::builder().backend(backend).build()?)
    }

    /// Returns whether shards of the full-text index are missing in their vocabularies.
    fn lacks_vocabularies(&self) -> Result<bool, Failure> {
        let sql = "SELECT EXISTS (SELECT 1 FROM search_shards WHERE has_vocabulary <> 1)";
        let file = rusqlite::Connection::open(self.folder.join("chat.db"))?;
        Ok(file.query_row(sql, [], |row| row.get(0))?)
    }

    /// Returns the part of the file that is the full-text index, in bytes. It reads the whole file.
    pub(crate) fn index_bytes(&self) -> Result<i64, Failure> {
        let sql = r"SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name LIKE 'search\_%' ESCAPE '\'";
        let file = rusqlite::Connection::open(self.folder.join("chat.db"))?;
        Ok(file.query_row(sql, [], |row| row.get(0))?)
    }

    /// Reads all files once, so that they are in memory if they fit.
    pub(crate) fn load(&self) -> Result<(), Failure> {
        for entry in fs::read_dir(&self.folder)? {
            io::copy(&mut fs::File::open(entry?.path())?, &mut io::sink())?;
        }
        Ok(())
    }

    /// Returns the size of all files of the store, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, Failure> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder)? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

/// Returns the id of a thread.
pub(crate) fn thread(number: usize) -> Result<ThreadId, Failure> {
    Ok(format!("thread-{number}").parse()?)
}

/// Fills the threads of one writer. Returns the bytes of the contents, and the position of the last change.
async fn fill(db: Persistence, writer: usize, threads: usize) -> Result<(u64, Position), Failure> {
    let (mut bytes, mut position) = (0, Position::ZERO);
    for group in (writer * ACTIVE..threads).step_by(WRITERS * ACTIVE) {
        for part in (0..LENGTH).step_by(PART) {
            let mut items = Vec::with_capacity(ACTIVE * PART);
            for number in group..threads.min(group + ACTIVE) {
                for at in part..part + PART {
                    let message = NewMessage::user(&words::text(number * LENGTH + at));
                    bytes += message.content().as_json().len() as u64;
                    items.push(Add::new(thread(number)?, message).into());
                }
            }
            let reply = db.batch(Batch::of(items)).reply().await?;
            position = position.max(reply.receipt.position.unwrap_or(position));
        }
    }
    Ok((bytes, position))
}
