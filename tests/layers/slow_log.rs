//! The layer `slow_log`: it logs each slow call once, with its waiting times, and limits its own rate.

use std::time::Duration;

use throughline::{
    NewMessage, OpKind, Persistence,
    layers::{
        chaos::{ChaosLayer, Fault, Rule},
        slow_log::SlowLogLayer,
    },
    memory::MemoryBackend,
    messages::{Add, Batch},
};
use tokio::time::advance;
use tracing::instrument::WithSubscriber as _;

use crate::{
    captured::Captured,
    kit::{Bypassed, Stateless, checks, failing},
};

const SECOND: Duration = Duration::from_secs(1);

/// Builds a stack with the layer, or with a broken variant of it, over one that delays calls.
#[derive(Clone, Copy)]
pub(super) struct Stacks(fn(SlowLogLayer, ChaosLayer) -> Persistence);

impl Stacks {
    /// A stack in which calls for the thread `slow` take a second, and all others no time.
    fn stack(self, layer: SlowLogLayer) -> Persistence {
        let late = Rule::new("late", Fault::delay(SECOND)).in_threads("slow");
        self.0(layer, ChaosLayer::seeded(1).rule(late))
    }
}

macro_rules! stacks {
    (|$layer:ident| $variant:expr) => {
        Stacks(|$layer, delays| {
            let stack = Persistence::builder().layer($variant).layer(delays);
            stack.backend(MemoryBackend::new()).build().unwrap()
        })
    };
}

fn layer() -> SlowLogLayer {
    SlowLogLayer::new(SECOND / 2)
}

fn message(name: &str) -> NewMessage {
    NewMessage::user("content").with_id(name.parse().unwrap())
}

/// Slow calls are logged, fast calls are not.
async fn logs_writes(stacks: Stacks) {
    let log = Captured::default();
    let db = stacks.stack(layer()).with_call_site("tests");
    let calls = async {
        db.thread("fast").add(message("m")).await.unwrap();
        db.thread("slow").add(message("m")).await.unwrap();
        db.thread("slow").add(message("m")).await.unwrap_err();
    };
    calls.with_subscriber(log.clone()).await;
    let lines = log.events("slow");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, outcome) in lines.iter().zip(["ok", "already_exists"]) {
        assert!(line.starts_with("WARN "), "{line}");
        for field in [
            "op=add",
            "tenant=default",
            "thread=slow",
            "call_site=tests",
            "attempts=1",
            "threshold_micros=500000",
            "waited_at=chaos",
            "suppressed=0",
            &format!("outcome={outcome}"),
        ] {
            assert!(line.split(' ').any(|word| word == field), "no `{field}` in {line}");
        }
        let took = line.split(' ').find_map(|word| word.strip_prefix("micros=")).unwrap();
        assert!(took.parse::<u64>().unwrap() >= 1_000_000, "{line}");
    }
}

async fn logs_reads(stacks: Stacks) {
    let log = Captured::default();
    let db = stacks.stack(layer());
    let read = async { db.thread("slow").get("m".parse().unwrap()).await.unwrap() };
    assert_eq!(read.with_subscriber(log.clone()).await, None);
    assert_eq!(log.events("slow").len(), 1);
}

async fn logs_batches(stacks: Stacks) {
    let log = Captured::default();
    let late = Rule::new("late", Fault::delay(SECOND)).on(OpKind::Batch);
    let db = stacks.0(layer(), ChaosLayer::seeded(1).rule(late));
    let add = Add::new("t".parse().unwrap(), message("m"));
    async { db.batch(Batch::new().with(add)).await.unwrap() }.with_subscriber(log.clone()).await;
    assert!(log.events("slow").iter().any(|line| line.contains(" op=batch ")), "{:?}", log.lines());
}

/// Log lines above the rate limit are dropped and counted, and the next line reports their number.
async fn limits_its_rate(stacks: Stacks) {
    let log = Captured::default();
    let slow = layer().at_most(2, 60 * SECOND);
    let db = stacks.stack(slow.clone());
    let calls = async {
        for number in 0..5 {
            db.thread("slow").add(message(&format!("m{number}"))).await.unwrap();
        }
        assert_eq!((log.events("slow").len(), slow.suppressed()), (2, 3));
        advance(60 * SECOND).await;
        db.thread("slow").add(message("after")).await.unwrap();
    };
    calls.with_subscriber(log.clone()).await;
    let lines = log.events("slow");
    assert!(lines.len() == 3 && lines[2].ends_with(" suppressed=3"), "{lines:?}");
}

checks! {
    Stacks;
    "logs-writes" => logs_writes;
    "logs-reads" => logs_reads;
    "logs-batches" => logs_batches;
    "limits-its-rate" => limits_its_rate;
}

#[test]
fn the_slow_log_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(|layer| layer)), [""; 0]);
}

#[test]
fn a_slow_log_layer_that_skips_reads_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Read });
    assert_eq!(failing(CHECKS, &skips), ["logs-reads"]);
}

#[test]
fn a_slow_log_layer_that_skips_batches_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Batch });
    assert_eq!(failing(CHECKS, &skips), ["logs-batches"]);
}

#[test]
fn a_slow_log_layer_without_state_fails_its_rate_check() {
    assert_eq!(failing(CHECKS, &stacks!(|_layer| Stateless(layer))), ["limits-its-rate"]);
}

#[tokio::test(start_paused = true)]
async fn each_operation_kind_can_have_its_own_threshold() {
    let log = Captured::default();
    let layer = layer().threshold(OpKind::Read, 2 * SECOND).threshold(OpKind::Add, SECOND);
    let db = stacks!(|layer| layer).stack(layer);
    let calls = async {
        db.thread("slow").get("m".parse().unwrap()).await.unwrap();
        db.thread("slow").add(message("m")).await.unwrap();
    };
    calls.with_subscriber(log.clone()).await;
    let lines = log.events("slow");
    assert!(lines.len() == 1 && lines[0].contains(" op=add "), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_slow_call_is_logged_with_its_waiting_times() {
    let log = Captured::default();
    let hangs = ChaosLayer::seeded(1).rule(Rule::new("hangs", Fault::hang()));
    let db =
        Persistence::builder().layer(layer()).layer(hangs).backend(MemoryBackend::new()).build().unwrap();
    let call = async { db.thread("t").add(message("m")).deadline(SECOND).await.unwrap_err() };
    let error = call.with_subscriber(log.clone()).await;
    assert_eq!(error.code(), "timeout");
    let lines = log.events("slow");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" outcome=left ") && lines[0].contains(" waited_at=chaos "), "{lines:?}");
}
