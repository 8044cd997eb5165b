//! Drafts over a store that takes no writes for a while: nothing that was accepted is lost, and every call is answered in time.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_core::{
    Content, Draft, Effect, ErrorKind, MessageState, NewMessage, NewReservation, Persistence, Role,
    messages::Coalesce,
};
use throughline_reliability::{
    Report,
    mount::{Ballast, Tmpfs},
    skipped,
};
use throughline_sqlite::{SqliteBackend, SqliteOptions};
use tokio::time::{sleep, timeout};

const MIB: u64 = 1 << 20;

/// How long a call is waited for.
const DEADLINE: Duration = Duration::from_secs(2);

/// More than the deadline, for a machine that is busy, and less than two.
const BY: Duration = Duration::from_secs(3);

/// The longest time until a draft writes after the store accepts writes again. The report has the actual time.
const SOON: Duration = Duration::from_secs(20);

/// An idle writer of so short a lease cannot renew it through the shortage.
const LEASE: Duration = Duration::from_millis(600);

/// A draft, and the text that was appended to it.
struct Stream {
    draft: Draft,
    given: String,
}

impl Stream {
    async fn begin(db: &Persistence) -> Self {
        let reservation = NewReservation::new(Role::Assistant).with_lease(LEASE);
        let coalesce = Coalesce { interval: Duration::from_millis(20), bytes: 4 << 10 };
        let draft = db.thread("t").reserve(reservation).coalesce(coalesce).await.unwrap();
        Self { draft, given: String::new() }
    }

    async fn append(&mut self, text: &str) {
        self.draft.append(text).await.unwrap();
        self.given.push_str(text);
    }

    /// Finishes the draft. Returns whether the message has all accepted text.
    async fn ends_whole(mut self, db: &Persistence) -> bool {
        self.draft.finish().await.unwrap();
        let message = db.thread("t").get(self.draft.id().clone()).await.unwrap().unwrap();
        let expected = if self.given.is_empty() { Content::empty() } else { Content::text(&self.given) };
        message.state == MessageState::Final
            && message.content == expected
            && self.draft.committed().bytes == self.given.len() as u64
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_survive_a_full_disk_without_being_abandoned() {
    let disk = match Tmpfs::mount(32 * MIB) {
        Ok(disk) => disk,
        Err(why) => return skipped("drafts on a full disk", &why.to_string()),
    };
    let mut report = Report::new("DRAFTS-SHORTAGE");
    let backend = SqliteOptions::new().free_space_floor(0).open(disk.path().join("chat.db")).await.unwrap();
    let db = Persistence::builder().deadline(DEADLINE).backend(backend).build().unwrap();
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = Stream::begin(&db).await;
        stream.append("before, ").await;
        stream.draft.flush().await.unwrap();
        streams.push(stream);
    }
    let idle = Stream::begin(&db).await;

    let ballast = Ballast::leaving(0, disk.path());
    // Messages use the free space in the file and in the WAL, until one is refused.
    let filler = "x".repeat(64 << 10);
    while let Ok(_added) = db.thread("filler").add(NewMessage::user(&filler)).await {}
    let mut refused = 0;
    for stream in &mut streams {
        stream.append(&"while the disk is full, ".repeat(1000)).await;
        let error = stream.draft.flush().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::NotApplied), "{error}");
        assert_eq!(stream.draft.committed().bytes, 8, "the watermark is the durable length");
        refused += 1;
    }
    let is_expired = async |draft: &Draft| {
        let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
        message.lease.is_none_or(|lease| lease.is_expired(db.now()))
    };
    while !is_expired(&idle.draft).await {
        sleep(LEASE / 10).await;
    }
    drop(ballast);
    let begun = Instant::now();
    // The recovery of expired drafts runs all the time.
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert!(recovered.abandoned.is_empty(), "{recovered:?}");
    for stream in &mut streams {
        let given = stream.given.len() as u64;
        let mut mark = stream.draft.watch();
        timeout(SOON, mark.wait_for(|mark| mark.bytes == given)).await.expect("it writes by itself").unwrap();
    }
    report.count("written_again_ms", begun.elapsed().as_millis());
    while is_expired(&idle.draft).await {
        assert!(begun.elapsed() < SOON, "the lease is not renewed");
        sleep(LEASE / 10).await;
    }
    streams.push(idle);
    for stream in streams {
        assert!(stream.ends_whole(&db).await);
    }
    report.fired("the disk was full for a draft", refused);
    db.close().await.unwrap();
    report.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_draft_is_answered_by_its_deadline_while_nothing_can_be_written() {
    let mut report = Report::new("DRAFTS-DEADLINE");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = Persistence::builder()
        .deadline(DEADLINE)
        .backend(SqliteBackend::open(&path).await.unwrap())
        .build()
        .unwrap();
    let mut worst = Duration::ZERO;
    for call in ["flush", "finish", "abandon"] {
        let mut stream = Stream::begin(&db).await;
        let lock = Connection::open(&path).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        // Enough text for several chunks, which are written at once.
        for _ in 0..4 {
            stream.append(&"x".repeat(4 << 10)).await;
        }
        // The write of the first chunk waits for the lock.
        sleep(DEADLINE / 20).await;
        let begun = Instant::now();
        let error = match call {
            "flush" => stream.draft.flush().await.map(drop).unwrap_err(),
            "finish" => stream.draft.finish().await.map(drop).unwrap_err(),
            _ => stream.draft.abandon("stopped").await.map(drop).unwrap_err(),
        };
        let took = begun.elapsed();
        assert!(took < BY, "{call} answered after {took:?}: {error}");
        worst = worst.max(took);
        lock.execute_batch("ROLLBACK").unwrap();
        if error.effect() == Effect::NotApplied && call != "flush" {
            let message = db.thread("t").get(stream.draft.id().clone()).await.unwrap().unwrap();
            assert!(message.state.is_open(), "{call} was not applied, and the message is {}", message.state);
        }
        if call == "abandon" {
            while stream.draft.abandon("stopped").await.is_err() {}
        } else {
            while stream.draft.flush().await.is_err() {}
            assert!(stream.ends_whole(&db).await, "{call}");
        }
        report.fired(format!("{call} met a lock"), 1);
    }
    report.count("slowest_answer_ms", worst.as_millis());
    db.close().await.unwrap();
    report.finish();
}
