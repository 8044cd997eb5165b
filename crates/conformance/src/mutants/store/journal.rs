//! A sound store: the memory backend, and a file of everything that was applied to it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use throughline_core::{
    BoxError, IdempotencyKey, Message, Metadata, PersistArgs, PersistResponse, Persistence, Result, TenantId,
    Timestamp,
    backend::search::Tokenizer,
    messages::{CarriesContent, FieldValueMut},
};
use throughline_memory::MemoryBackend;
use tokio::sync::{Mutex, MutexGuard};

use crate::{call::call, clock::ManualClock};

/// One line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) tenant: TenantId,
    pub(super) args: PersistArgs,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) now: Timestamp,
}

pub(super) struct Journal {
    db: Persistence,
    clock: ManualClock,
    file: Mutex<BufWriter<File>>,
    path: PathBuf,
    /// Whether the file had lines when it was opened.
    was_there: bool,
}

fn empty() -> Result<(Persistence, ManualClock)> {
    let clock = ManualClock::new();
    Ok((
        Persistence::builder()
            .clock(clock.clone())
            // The same for every store, so that a copy answers the keys of the store that it was copied from.
            .fingerprint_secret(b"journal")
            .backend(
                MemoryBackend::new()
                    .with_tokenizer(Tokenizer::Cjk)
                    .with_indexed_metadata(super::indexed_metadata()),
            )
            .build()?,
        clock,
    ))
}

impl Line {
    /// A call as it is kept: under names that a caller may give.
    pub(super) fn new(
        tenant: TenantId,
        mut args: PersistArgs,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Self {
        rename(&mut args, Metadata::RESERVED, RESERVED);
        Self { tenant, args, key, now }
    }
}

impl Journal {
    pub(super) async fn open(directory: &Path) -> Result<Self, BoxError> {
        let path = directory.join("journal");
        let (db, clock, whole) = replayed(&path).await?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // The next line must not begin behind an incomplete one.
        file.set_len(whole)?;
        Ok(Self { db, clock, file: Mutex::new(BufWriter::new(file)), path, was_there: whole > 0 })
    }

    /// Whether this is a store that was opened again.
    pub(super) const fn was_there(&self) -> bool {
        self.was_there
    }

    /// A store of its own with everything that the file has so far.
    pub(super) async fn copy(&self) -> Result<(Persistence, ManualClock), BoxError> {
        self.file.lock().await.flush()?;
        let (db, clock, _) = replayed(&self.path).await?;
        Ok((db, clock))
    }

    /// Applies a call and leaves it for the file. The guard holds the others up.
    pub(super) async fn apply(&self, line: &Line) -> Result<(PersistResponse, Pending<'_>)> {
        let file = self.file.lock().await;
        self.clock.set(line.now);
        let response = inside(&self.db, line).await?;
        Ok((response, Pending { file }))
    }

    /// Writes a message to another file that no code reads.
    pub(super) fn write_to_temporary(&self, message: &Message) {
        let file = OpenOptions::new().create(true).append(true).open(self.path.with_extension("temporary"));
        let json = serde_json::to_vec(message).expect("a message serializes");
        file.and_then(|mut file| file.write_all(&json)).expect("a temporary file");
    }

    pub(super) async fn read(&self, line: &Line) -> Result<PersistResponse> {
        self.clock.set(line.now);
        inside(&self.db, line).await
    }
}

/// An applied call that is not in the file yet.
pub(super) struct Pending<'a> {
    file: MutexGuard<'a, BufWriter<File>>,
}

impl Pending<'_> {
    pub(super) fn write(&mut self, line: &Line) {
        let line = serde_json::to_string(line).expect("a line serializes");
        // JSON can contain line breaks, so the length of the line is written before it.
        write!(self.file, "{}\n{line}", line.len()).expect("the journal can be written");
    }

    pub(super) fn flush(mut self) {
        self.file.flush().expect("the journal can be written");
    }
}

/// A store with what the file has, and how many bytes of whole lines that is. A last line that a crash cut short was never
/// acknowledged.
async fn replayed(path: &Path) -> Result<(Persistence, ManualClock, u64), BoxError> {
    let (db, clock) = empty()?;
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let length: usize = str::from_utf8(&rest[..end])?.parse()?;
        let Some(json) = rest.get(end + 1..end + 1 + length) else { break };
        let Line { tenant, args, key, now } = serde_json::from_slice(json)?;
        clock.set(now);
        call(&db.for_tenant(tenant), args, key).await?;
        rest = &rest[end + 1 + length..];
    }
    let whole = bytes.len() - rest.len();
    Ok((db, clock, u64::try_from(whole)?))
}

/// The prefix of reserved names inside of this backend, which is itself a caller of a pipeline.
const RESERVED: &str = "inside: throughline.";

/// Renames what begins with `from` in all metadata.
fn rename(carrier: &mut impl CarriesContent, from: &str, to: &str) {
    for field in carrier.content_fields_mut() {
        let FieldValueMut::Metadata(metadata) = field.value else { continue };
        let names: Vec<String> = metadata.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names.iter().filter(|name| name.starts_with(from)) {
            let value = metadata.get(name).map(ToOwned::to_owned).expect("a name that is there");
            metadata.remove(name);
            metadata.set_raw(name.replacen(from, to, 1), value);
        }
    }
}

/// Makes a call of the store inside.
async fn inside(db: &Persistence, line: &Line) -> Result<PersistResponse> {
    let mut response = call(&db.for_tenant(line.tenant.clone()), line.args.clone(), line.key.clone()).await?;
    rename(&mut response.result, RESERVED, Metadata::RESERVED);
    Ok(response)
}
