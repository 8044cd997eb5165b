//! The store against the ledger.

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

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// Everything that is wrong.
    pub faults: Vec<String>,
    /// How many messages there are.
    pub messages: u64,
    /// How long it took to open the store, which is when it recovers.
    pub opened_in: Duration,
}

/// Opens the store at `path`, reads every message, holds them against the ledger, has the store check itself, closes it.
///
/// # Panics
/// When the store cannot be opened, read or closed.
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

/// Reads every message of a store, whatever its backend, and holds them against the ledger: what is wrong, and how many there are.
///
/// # Panics
/// When the store cannot be read.
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
