//! The layer `chaos`: each fault has its documented effect, and the same calls get the same faults.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, Message, NewMessage, OpKind, Persistence,
    layers::{
        chaos::{ChaosLayer, Fault, Rule},
        retry::RetryLayer,
    },
    memory::MemoryBackend,
    messages::{Batch, GetMessage, PageFrom},
    pipeline::LayerList,
};
use tokio::time::Instant;

use crate::kit::{Bypassed, Stateless, checks, failing};

/// Builds a stack with the layer, or with a broken variant of it.
#[derive(Clone, Copy)]
pub(super) struct Stacks(fn(ChaosLayer) -> Persistence);

macro_rules! stacks {
    (|$layer:ident| $variant:expr) => {
        Stacks(|$layer| Persistence::builder().layer($variant).backend(MemoryBackend::new()).build().unwrap())
    };
}

fn stack(layer: ChaosLayer) -> Persistence {
    stacks!(|layer| layer).0(layer)
}

fn named(name: &str) -> NewMessage {
    NewMessage::user("x").with_id(name.parse().unwrap())
}

async fn stored(db: &Persistence, thread: &str) -> Vec<Message> {
    db.thread(thread).page(PageFrom::Start, 100).await.unwrap().messages
}

/// A fault before the call applies nothing; after a fault behind the call the write is stored. The error has the
/// configured effect.
async fn before_and_after(stacks: Stacks) {
    let layer = ChaosLayer::seeded(1)
        .rule(Rule::new("before", Fault::before(ErrorKind::StorageFull)).on(OpKind::Add).nth(1))
        .rule(Rule::new("after", Fault::after(ErrorKind::Internal)).on(OpKind::Add).nth(2))
        .rule(Rule::new("lost", Fault::lost_answer(ErrorKind::Unavailable)).on(OpKind::Add).nth(3));
    let db = stacks.0(layer);
    let mut ends = Vec::new();
    for name in ["before", "after", "lost", "calm"] {
        ends.push(
            db.thread("t").add(named(name)).await.map(drop).map_err(|error| (error.kind(), error.effect())),
        );
    }
    let expected = [
        Err((ErrorKind::StorageFull, Effect::NotApplied)),
        Err((ErrorKind::Internal, Effect::Applied)),
        Err((ErrorKind::Unavailable, Effect::Unknown)),
        Ok(()),
    ];
    assert_eq!(ends, expected);
    let ids: Vec<_> = stored(&db, "t").await.into_iter().map(|message| message.id.to_string()).collect();
    assert_eq!(ids, ["after", "lost", "calm"]);
}

/// The count of `nth` is per operation kind and thread.
async fn nth_by_thread(stacks: Stacks) {
    let layer =
        ChaosLayer::seeded(1).rule(Rule::new("third", Fault::before(ErrorKind::Busy)).on(OpKind::Add).nth(3));
    let db = stacks.0(layer);
    for round in 1..=4 {
        for thread in ["a", "b"] {
            let ended = db.thread(thread).add(NewMessage::user("x")).await;
            assert_eq!(ended.is_err(), round == 3, "{thread} {round}");
        }
    }
}

/// Rules also apply to reads and batches.
async fn reads(stacks: Stacks) {
    let db = stacks.0(
        ChaosLayer::seeded(1).rule(Rule::new("r", Fault::after(ErrorKind::Timeout)).on(OpKind::Read)),
    );
    let get = GetMessage { thread: "t".parse().unwrap(), id: "m".parse().unwrap() };
    let error = db.read(get).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
}

async fn batches(stacks: Stacks) {
    let db = stacks.0(
        ChaosLayer::seeded(1).rule(Rule::new("b", Fault::before(ErrorKind::Busy)).on(OpKind::Batch)),
    );
    let add = throughline::messages::Add::new("t".parse().unwrap(), named("m"));
    assert_eq!(db.batch(Batch::new().with(add)).await.unwrap_err().kind(), ErrorKind::Busy);
    assert!(stored(&db, "t").await.is_empty());
}

/// Returns the failing adds among forty in each of four threads, which alternate after `turn` adds.
async fn failures(stacks: Stacks, seed: u64, turn: usize) -> Vec<(usize, usize)> {
    let layer = ChaosLayer::seeded(seed)
        .rule(Rule::new("some", Fault::before(ErrorKind::Busy)).on(OpKind::Add).with_probability(0.3));
    let db = stacks.0(layer);
    let mut failed = Vec::new();
    let turns = (0..40).step_by(turn);
    for (thread, from) in turns.flat_map(|from| (0..4).map(move |thread| (thread, from))) {
        for number in from..(from + turn).min(40) {
            let ended = db.thread(format!("t{thread}")).add(NewMessage::user("x")).await;
            failed.extend(ended.err().map(|_| (thread, number)));
        }
    }
    failed.sort_unstable();
    failed
}

/// The same calls fail regardless of the interleaving of threads.
async fn interleavings(stacks: Stacks) {
    let alone = failures(stacks, 7, 40).await;
    assert!((20..80).contains(&alone.len()), "{}", alone.len());
    for turn in [1, 3, 8] {
        assert_eq!(failures(stacks, 7, turn).await, alone);
    }
    assert_ne!(failures(stacks, 8, 40).await, alone);
}

checks! {
    Stacks;
    "before-and-after" => before_and_after;
    "nth-by-thread" => nth_by_thread;
    "reads" => reads;
    "batches" => batches;
    "interleavings" => interleavings;
}

#[test]
fn the_chaos_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(|layer| layer)), [""; 0]);
}

#[test]
fn a_chaos_layer_that_skips_reads_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Read });
    assert_eq!(failing(CHECKS, &skips), ["reads"]);
}

#[test]
fn a_chaos_layer_that_skips_batches_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Batch });
    assert_eq!(failing(CHECKS, &skips), ["batches"]);
}

mod counts {
    use super::*;

    checks! {
        Stacks;
        "nth-by-thread" => nth_by_thread;
    }
}

#[test]
fn a_chaos_layer_without_call_counts_fails_its_check() {
    let third = stacks!(|_layer| Stateless(|| {
        ChaosLayer::seeded(1).rule(Rule::new("third", Fault::before(ErrorKind::Busy)).on(OpKind::Add).nth(3))
    }));
    assert_eq!(failing(counts::CHECKS, &third), ["nth-by-thread"]);
}

mod order {
    use super::*;

    checks! {
        Stacks;
        "interleavings" => interleavings;
    }
}

#[test]
fn a_chaos_layer_that_depends_on_the_global_order_fails_its_check() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let next = stacks!(|_layer| Stateless(|| {
        let some = Rule::new("some", Fault::before(ErrorKind::Busy)).on(OpKind::Add).with_probability(0.3);
        ChaosLayer::seeded(CALLS.fetch_add(1, Relaxed)).rule(some)
    }));
    assert_eq!(failing(order::CHECKS, &next), ["interleavings"]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_continues_after_the_delay() {
    let hour = Duration::from_secs(3600);
    let db = stack(ChaosLayer::seeded(1).rule(Rule::new("late", Fault::delay(hour)).on(OpKind::Add)));
    let begun = Instant::now();
    db.thread("t").add(named("m")).await.unwrap();
    assert!(begun.elapsed() >= hour);
    assert_eq!(stored(&db, "t").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_delay_writes_nothing() {
    let hour = Duration::from_secs(3600);
    let db = stack(ChaosLayer::seeded(1).rule(Rule::new("late", Fault::delay(hour)).on(OpKind::Add)));
    let left =
        tokio::time::timeout(Duration::from_secs(1), db.thread("t").add(named("m")).into_future()).await;
    assert!(left.is_err());
    tokio::time::sleep(2 * hour).await;
    assert_eq!(stored(&db, "t").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_times_out_and_reports_its_effect() {
    let layer = ChaosLayer::seeded(1)
        .rule(Rule::new("hang", Fault::hang()).in_threads("before"))
        .rule(Rule::new("hang-after", Fault::hang_after()).in_threads("after").on(OpKind::Add));
    let db = stack(layer);
    let ended = |thread: &str| {
        let add = db.thread(thread).add(named("m")).deadline(Duration::from_secs(5));
        async move { add.await.unwrap_err() }
    };
    let (before, after) = (ended("before").await, ended("after").await);
    assert_eq!((before.kind(), before.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    assert_eq!((after.kind(), after.effect()), (ErrorKind::Timeout, Effect::Applied));
    assert_eq!((before.site().unwrap().name(), after.site().unwrap().name()), ("chaos", "chaos"));
    assert_eq!(stored(&db, "after").await.len(), 1);
}

#[tokio::test]
async fn a_panic_names_the_chaos_layer_and_its_effect() {
    let layer = ChaosLayer::seeded(1)
        .rule(Rule::new("panic", Fault::panic()).on(OpKind::Add).nth(1))
        .rule(Rule::new("panic-after", Fault::panic_after()).on(OpKind::Add).nth(2));
    let counts = layer.counts();
    let db = stack(layer);
    for effect in [Effect::NotApplied, Effect::Applied] {
        let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Panicked, effect));
        assert_eq!(error.site().unwrap().name(), "chaos");
    }
    assert_eq!(stored(&db, "t").await.len(), 1);
    assert_eq!(counts.total(), 2);
}

#[tokio::test]
async fn only_the_first_matching_rule_fires_and_unused_rules_are_listed() {
    let layer = ChaosLayer::seeded(1)
        .rule(Rule::new("first", Fault::before(ErrorKind::Busy)).in_threads("t"))
        .rule(Rule::new("second", Fault::before(ErrorKind::Denied)))
        .rule(Rule::new("elsewhere", Fault::panic()).in_threads("z"));
    let counts = layer.counts();
    let db = stack(layer);
    assert_eq!(db.thread("t").add(NewMessage::user("x")).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(db.thread("u").add(NewMessage::user("x")).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!((counts.fired("first"), counts.fired("second")), (1, 1));
    assert_eq!(counts.never_fired(), ["elsewhere"]);
}

#[tokio::test]
#[should_panic(expected = "no rule `frist`")]
async fn the_count_of_an_unknown_rule_panics() {
    let _ = ChaosLayer::seeded(1).rule(Rule::new("first", Fault::hang())).counts().fired("frist");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_retry_counts_as_a_call() {
    let layer = ChaosLayer::seeded(1).rule(Rule::new("twice", Fault::before(ErrorKind::Busy)).nth(1).nth(2));
    let counts = layer.counts();
    let stack = Persistence::builder().layer(RetryLayer::new()).layer(layer);
    let db = stack.backend(MemoryBackend::new()).build().unwrap();
    db.thread("t").add(named("m")).await.unwrap();
    assert_eq!(counts.fired("twice"), 2);
}

#[tokio::test]
async fn the_description_marks_the_chaos_layer_as_not_for_production() {
    for db in [
        Persistence::builder().layer(ChaosLayer::seeded(1)).backend(MemoryBackend::new()).build().unwrap(),
        Persistence::builder()
            .layers(LayerList::new().with(ChaosLayer::seeded(1)))
            .backend(MemoryBackend::new())
            .build()
            .unwrap(),
    ] {
        let printed = db.describe().to_string();
        assert!(printed.starts_with("chaos    Route      not for production\n"), "{printed}");
        assert_eq!(db.describe().sites()[0].remark.as_deref(), Some("not for production"));
    }
}
