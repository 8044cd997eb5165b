//! `doctor`: the state of a store at a glance.

use clap::Args;
use serde::Serialize;
use throughline::{
    ErrorKind, Persistence, Timestamp,
    backend::index_is_incomplete,
    messages::{FindMessages, ListOpen},
    replication::GetReplicationStatus,
    search::SearchMessages,
    sqlite::Storage,
    threads::ListThreads,
};

use super::pages::Tenants;
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BOLD, CAUTION, GOOD, Output, bytes, count, line},
};

/// The length from which a WAL is reported: a writer with the default settings truncates it there.
const LONG_WAL: u64 = 64 << 20;
/// The free space on the disk below which it is reported.
const LOW_SPACE: u64 = 256 << 20;
/// The changes from which a full-text index is reported as behind.
const FAR_BEHIND: u64 = 10_000;
/// The most open replies that are counted.
const MAX_COUNTED: u64 = 100_000;
/// The open replies of one read.
const OPEN: u32 = 200;

/// Shows the state of the store; exits with 3 if it needs care
///
/// It shows the versions, the size, the WAL, the replies that are being written and those whose lease has expired, the full-text
/// index, and the metadata fields that are indexed.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosis {
    program: &'static str,
    store: String,
    position: u64,
    role: Option<&'static str>,
    epoch: Option<u64>,
    file: Option<FileState>,
    index: Option<IndexState>,
    indexed_metadata: Vec<FieldState>,
    tenants: u64,
    open_replies: u64,
    expired_replies: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileState {
    schema: i64,
    file_bytes: u64,
    free_bytes: u64,
    wal_bytes: u64,
    disk_available: Option<u64>,
    oldest_change: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexState {
    indexed: u64,
    behind: u64,
}

/// A metadata field by which messages are found.
#[derive(Serialize)]
struct FieldState {
    name: String,
    /// Whether its index has every message.
    complete: bool,
}

/// Something that needs care, and what to do.
#[derive(Serialize)]
struct Finding {
    code: &'static str,
    text: String,
    advice: &'static str,
}

impl From<&Storage> for FileState {
    fn from(storage: &Storage) -> Self {
        Self {
            schema: storage.schema,
            file_bytes: storage.file_bytes,
            free_bytes: storage.free_bytes,
            wal_bytes: storage.wal_bytes,
            disk_available: storage.disk_available,
            oldest_change: storage.oldest_change.map(throughline::Position::get),
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let storage = match session.file_if_any().await? {
            Some(file) => Some(file.storage().await?),
            None => None,
        };
        let db = session.open(Access::Read).await?;
        let mut found = Diagnosis {
            program: env!("CARGO_PKG_VERSION"),
            store: session.store_name(),
            position: db.threads(ListThreads::new(1)).await?.position.get(),
            role: None,
            epoch: None,
            file: storage.as_ref().map(FileState::from),
            index: None,
            indexed_metadata: Vec::new(),
            tenants: 0,
            open_replies: 0,
            expired_replies: 0,
            findings: Vec::new(),
        };
        found.role(&db).await?;
        found.index(&db).await?;
        found.fields(&db).await?;
        found.replies(&db).await?;
        found.judge();
        let exit = if found.findings.is_empty() { Exit::Done } else { Exit::Findings };
        session.settled = Some(exit);
        let output = &mut session.output;
        match output.is_json() {
            true => output.json("doctor", &found)?,
            false => found.write(output)?,
        }
        Ok(exit)
    }
}

/// Returns `None` for an answer that the store does not support.
fn supported<T>(answer: throughline::Result<T>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Diagnosis {
    async fn role(&mut self, db: &Persistence) -> Result<(), Failure> {
        if let Some(status) = supported(db.read(GetReplicationStatus {}).await)? {
            self.role = Some(match status.replication_state.role {
                throughline::replication::ReplicationRole::Primary => "primary",
                throughline::replication::ReplicationRole::Replica => "replica",
            });
            self.epoch = Some(status.replication_state.epoch.get());
            self.position = status.position.get();
        }
        Ok(())
    }

    async fn index(&mut self, db: &Persistence) -> Result<(), Failure> {
        if let Some(hits) = supported(db.search(SearchMessages::new("throughline", 1)).await)? {
            let indexed = hits.indexed.get();
            self.index = Some(IndexState { indexed, behind: self.position.saturating_sub(indexed) });
        }
        Ok(())
    }

    async fn fields(&mut self, db: &Persistence) -> Result<(), Failure> {
        for name in db.describe().capabilities().indexed_metadata.iter() {
            // A layer can refuse finds: then the state of the index is not known.
            let complete = match db.find(FindMessages::new(name, "", 1)).await {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    if error.detail() != index_is_incomplete(name).detail() {
                        return Err(error.into());
                    }
                    false
                }
                answer => supported(answer).map(|_| true)?,
            };
            self.indexed_metadata.push(FieldState { name: name.to_owned(), complete });
        }
        Ok(())
    }

    async fn replies(&mut self, db: &Persistence) -> Result<(), Failure> {
        let mut tenants = Tenants::of(db);
        while let Some(tenant) = tenants.next().await? {
            self.tenants += 1;
            self.replies_of(&db.for_tenant(tenant)).await?;
        }
        Ok(())
    }

    async fn replies_of(&mut self, db: &Persistence) -> Result<(), Failure> {
        let now = Timestamp::now();
        let mut list = ListOpen::new(OPEN);
        while self.open_replies < MAX_COUNTED {
            let page = db.read(list.clone()).await?;
            let is_expired = |lease: &throughline::Lease| lease.is_expired(now);
            let expired = page.messages.iter().filter(|open| open.lease.as_ref().is_some_and(is_expired));
            self.expired_replies += expired.count() as u64;
            self.open_replies += (page.messages.len() + page.damaged.len()) as u64;
            match page.next {
                Some(next) => list.after = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    fn judge(&mut self) {
        let mut find = |code, text, advice| self.findings.push(Finding { code, text, advice });
        if let Some(file) = &self.file {
            if file.wal_bytes >= LONG_WAL {
                let text = format!("the WAL has {}", bytes(file.wal_bytes));
                find(
                    "wal_long",
                    text,
                    "end the readers that hold an old snapshot, or open and close the store",
                );
            }
            if let Some(left) = file.disk_available.filter(|left| *left < LOW_SPACE) {
                find("space_low", format!("the disk has {} left", bytes(left)), "free space on the disk");
            }
        }
        if let Some(index) = self.index.as_ref().filter(|index| index.behind > FAR_BEHIND) {
            let text = format!("the full-text index is {} changes behind", index.behind);
            find("index_behind", text, "a host with `search(true)` continues it while the store is open");
        }
        let is_incomplete = |field: &&FieldState| !field.complete;
        for FieldState { name, .. } in self.indexed_metadata.iter().filter(is_incomplete) {
            let text = format!("the index of the metadata field `{}` is not complete", line(name));
            find(
                "metadata_index_incomplete",
                text,
                "a program that opens the store to write completes it, such as `throughline serve`",
            );
        }
        if self.expired_replies > 0 {
            let expired = self.expired_replies;
            let replies = if expired == 1 {
                "1 open reply has".to_owned()
            } else {
                format!("{expired} open replies have")
            };
            let text = format!("{replies} an expired lease");
            find("expired_leases", text, "`throughline repair --apply` abandons them; their text stays");
        }
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let mut row =
            |name: &str, value: String| output.line(format_args!("{BOLD}{name:<10}{BOLD:#} {value}"));
        row("program", format!("throughline {}", self.program))?;
        row("store", self.store.clone())?;
        if let Some(file) = &self.file {
            row("schema", file.schema.to_string())?;
            let free = match file.free_bytes {
                0 => String::new(),
                free => format!(", {} of them free", bytes(free)),
            };
            row("size", format!("{}{free}", bytes(file.file_bytes)))?;
            row("wal", if file.wal_bytes == 0 { "none".to_owned() } else { bytes(file.wal_bytes) })?;
            row(
                "disk",
                file.disk_available.map_or_else(|| "unknown".into(), |left| format!("{} free", bytes(left))),
            )?;
        }
        let oldest = self.file.as_ref().and_then(|file| file.oldest_change);
        let kept = oldest.map_or_else(String::new, |oldest| format!(", changes kept from {oldest} on"));
        row("position", format!("{}{kept}", self.position))?;
        if let (Some(role), Some(epoch)) = (self.role, self.epoch) {
            row("role", format!("{role}, epoch {epoch}"))?;
        }
        row(
            "index",
            match &self.index {
                None => "none".to_owned(),
                Some(IndexState { behind: 0, .. }) => "complete".to_owned(),
                Some(index) => {
                    format!("up to position {}, {} behind", index.indexed, count(index.behind, "change"))
                }
            },
        )?;
        if !self.indexed_metadata.is_empty() {
            let names: Vec<String> = self.indexed_metadata.iter().map(|field| line(&field.name)).collect();
            row("metadata", format!("indexed: {}", names.join(", ")))?;
        }
        row("tenants", self.tenants.to_string())?;
        row(
            "open",
            format!("{} being written, {} of them expired", self.open_replies, self.expired_replies),
        )?;
        output.line("")?;
        for Finding { text, advice, .. } in &self.findings {
            output.sentence(format_args!("{CAUTION}!{CAUTION:#} {text}: {advice}"))?;
        }
        if self.findings.is_empty() {
            output.sentence(format_args!(
                "{GOOD}Nothing needs care.{GOOD:#} `throughline verify` checks every row."
            ))?;
        }
        Ok(())
    }
}
