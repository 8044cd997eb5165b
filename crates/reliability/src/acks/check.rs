//! Compares a store with the ledger.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use throughline_core::{
    Persistence,
    messages::{PageFrom, Visibility},
};
use throughline_sqlite::SqliteBackend;

use super::Ledger;

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// All violations.
    pub faults: Vec<String>,
    /// The number of messages.
    pub messages: u64,
    /// The time to open the store, including its recovery.
    pub opened_in: Duration,
}

/// Opens the store at `path`, compares every message with the ledger, verifies the store and closes it.
///
/// # Panics
/// If the store cannot be opened, read or closed.
pub async fn check_store(path: &Path, ledger: &mut Ledger) -> Checked {
    let begun = Instant::now();
    let backend = SqliteBackend::open(path).await.expect("the store opens");
    let opened_in = begun.elapsed();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().expect("the pipeline is built");
    let (mut faults, messages) = check_messages(&db, ledger).await;
    let verification = maintenance.verify().await.expect("the store is verified");
    faults.extend(verification.damaged.iter().map(ToString::to_string));
    if verification.messages != messages {
        faults.push(format!("there are {} messages, and {messages} were read", verification.messages));
    }
    db.close().await.expect("the store is closed");
    Checked { faults, messages, opened_in }
}

/// Compares every message of a store of any backend with the ledger. Returns the violations and the number of
/// messages.
///
/// # Panics
/// If the store cannot be read.
pub async fn check_messages(db: &Persistence, ledger: &mut Ledger) -> (Vec<String>, u64) {
    let mut faults = Vec::new();
    let mut messages = 0;
    let threads: Vec<String> = ledger.threads().iter().cloned().collect();
    for thread in &threads {
        let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::All);
        let mut before = 0;
        while let Some(message) = walk.next().await.expect("the thread is read") {
            messages += 1;
            faults.extend(ledger.find(&message).err());
            if message.seq.get() <= before {
                faults.push(format!("thread `{thread}` is out of order at `{}`", message.id));
            }
            before = message.seq.get();
        }
    }
    faults.extend(ledger.compare());
    (faults, messages)
}
