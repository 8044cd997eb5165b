//! `kill -9` in the middle of writing.
//!
//! The checks verify the end of a *process*. The backend claims the loss of power, and no check verifies it: the operating
//! system survives and keeps the written pages.

use std::time::Duration;

use throughline_core::{Content, ErrorKind, Message, MessageState, NewMessage, messages::UpdateMode};

use crate::{
    check::checks,
    child::{Process, Role, chunk, long_text},
    clock::ManualClock,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, the},
};

checks! {
    Extended "durability.acknowledged_writes_survive_a_crash" [Add Read; keys durable] "after a crash every acknowledged message is whole, and at most the call in flight is added" => acknowledged;
    Extended "durability.keys_survive_a_crash" [Add Read; keys durable] "a caller that repeats its calls with their keys after a crash applies each call once" => keys;
    Extended "durability.batches_are_atomic_across_a_crash" [Add Batch Read; durable] "after a crash every acknowledged batch is whole, and the batch in flight is whole or absent" => batches;
    Extended "durability.repeated_crashes_lose_nothing" [Add Read; keys durable] "a store keeps all acknowledged writes through several crashes in a row" => again;
    Extended "durability.crashed_draft_stays_open_until_its_lease_expires" ("VL-S14") [Reserve UpdateContent Read; durable threads] "a crash leaves an open message with its committed content, and recovery settles it once after its lease" => draft;
}

/// Starts a process that writes, kills it after so many acknowledgements, and answers everything it acknowledged.
async fn killed(rig: &Rig, role: Role, after: usize) -> Vec<String> {
    let mut process = Process::start(rig, role);
    let mut acks = Vec::new();
    for _ in 0..after {
        acks.push(process.ack().await);
    }
    let rest = process.kill().await;
    acks.extend(rest.iter().filter_map(|line| line.strip_prefix("ack ")).map(str::to_owned));
    acks
}

/// The messages of [`Role::Adds`]: whole, in order, and none missing.
fn whole(read: &[Message], acks: &[String]) {
    for (number, message) in read.iter().enumerate() {
        let name = format!("a{number}");
        assert_eq!(message.id.as_str(), name, "none is missing in between");
        assert_eq!(message.content, Content::text(&long_text(&name)), "{name} is not whole");
        assert_eq!(message.state, MessageState::Final);
    }
    assert!(read.len() >= acks.len(), "{} were acknowledged, and {} are there", acks.len(), read.len());
    assert!(read.len() <= acks.len() + 1, "{} were acknowledged, and {} are there", acks.len(), read.len());
}

async fn acknowledged(rig: Rig) {
    for after in [1, 4, 23] {
        let rig = rig.sibling(&after.to_string());
        let acks = killed(&rig, Role::Adds, after).await;
        let db = rig.db().await;
        let thread = db.thread("t");
        whole(&everything(&thread).await, &acks);
        for name in &acks {
            assert_eq!(the(&thread, name).await.content, Content::text(&long_text(name)));
        }
        // The store is as good as new.
        thread.add(said("after the crash", "x")).await.expect("it goes on");
        assert_eq!(the(&thread, "after the crash").await.content, Content::text("x"));
    }
}

async fn keys(rig: Rig) {
    let acks = killed(&rig, Role::Adds, 7).await;
    let db = rig.db().await;
    let thread = db.thread("t");
    let count = acks.len() + 2;
    for number in 0..count {
        let name = format!("a{number}");
        let repeated = thread.add(said(&name, &long_text(&name))).key(name.as_str()).await.expect("once");
        assert!(repeated.deduplicated || number >= acks.len(), "{name} was acknowledged and applied again");
    }
    refused(thread.add(NewMessage::user("other")).key("a0").await, ErrorKind::Conflict);
    assert_eq!(everything(&thread).await.len(), count);
}

async fn batches(rig: Rig) {
    for after in [1, 6] {
        let rig = rig.sibling(&after.to_string());
        let acks = killed(&rig, Role::Batches, after).await;
        let db = rig.db().await;
        let mut counts = Vec::new();
        for item in 0..3 {
            let read = everything(&db.thread(format!("t{item}"))).await;
            for (number, message) in read.iter().enumerate() {
                let name = format!("b{number}.{item}");
                assert_eq!(message.id.as_str(), name);
                assert_eq!(message.content, Content::text(&long_text(&name)), "{name} is not whole");
            }
            counts.push(read.len());
        }
        assert!(counts.iter().all(|count| *count == counts[0]), "half a batch: {counts:?}");
        assert!(
            (acks.len()..=acks.len() + 1).contains(&counts[0]),
            "{} acknowledged, {counts:?}",
            acks.len()
        );
    }
}

async fn again(rig: Rig) {
    let mut total = 0;
    for _ in 0..3 {
        // The keys are the same each time: what is there is acknowledged again, and more is added behind it.
        let acks = killed(&rig, Role::Adds, total + 3).await;
        let db = rig.db().await;
        let read = everything(&db.thread("t")).await;
        whole(&read, &acks);
        total = read.len();
        db.close().await.expect("it closes");
    }
}

async fn draft(rig: Rig) {
    const CHUNKS: usize = 9;
    let acks = killed(&rig, Role::Draft, CHUNKS + 1).await;
    assert_eq!(acks[0], "reserved");
    let db = rig.db().await;
    let thread = db.thread("t");
    let open = db.open_reservations(10).await.unwrap().messages;
    assert_eq!(ids(&open), ["d"]);
    let row = open.into_iter().next().expect("one is open");
    let committed = |count: usize| {
        let chunks: Vec<_> = (0..count).map(|number| chunk(u32::try_from(number).expect("few"))).collect();
        Content::text(&chunks.concat())
    };
    let acknowledged = acks.len() - 1;
    let as_acknowledged = row.content == committed(acknowledged);
    assert!(
        as_acknowledged || row.content == committed(acknowledged + 1),
        "{acknowledged} chunks: {}",
        row.content.as_json()
    );
    assert_eq!(row.state, MessageState::Streaming);
    assert_eq!(the(&thread, "d").await, row);
    // Its lease has not expired, so recovery does not touch it.
    assert!(db.recover_expired_drafts("too early").await.unwrap().abandoned.is_empty());
    assert_eq!(the(&thread, "d").await, row);
    let ends = row.lease.expect("an open row has a lease").expires_at;
    assert!(ends > ManualClock::START);
    rig.clock.set(ends.plus(Duration::from_micros(1)));
    let recoveries = [db.clone(), db.clone()];
    let recoveries = recoveries
        .map(|db| tokio::spawn(async move { db.recover_expired_drafts("its process died").await.unwrap() }));
    let mut settled = 0;
    for recovery in recoveries {
        let recovered = recovery.await.expect("a recovery");
        assert!(recovered.failed.is_empty(), "{:?}", recovered.failed);
        settled += recovered.abandoned.len();
    }
    assert_eq!(settled, 1, "settled exactly once");
    let after = the(&thread, "d").await;
    assert_eq!(
        (after.state, after.content, after.revision),
        (MessageState::Abandoned, row.content, row.revision.next())
    );
    assert_eq!(after.abandon_reason.as_deref(), Some("its process died"));
    // The lost writer, if it still ran, would receive an error.
    refused(thread.update_content(id("d"), append("late"), UpdateMode::Partial).await, ErrorKind::Stale);
}
