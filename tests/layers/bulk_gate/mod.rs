//! Live turns go before bulk work.

mod checks;

use std::time::Duration;

use throughline::{OpKind, Persistence, layers::bulk_gate::BulkGateLayer, memory::MemoryBackend};

use self::checks::CHECKS;
use crate::kit::{BlockingLayer, Bypassed, Stateless, failing};

const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const ITEMS: usize = 4;

/// The checks of what waits for live writes.
const WAITS: [&str; 5] = [
    "waits-for-live-writes",
    "waits-for-quiet",
    "goes-ahead-in-the-end",
    "out-of-time",
    "large-batches-wait",
];

#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn(&BlockingLayer) -> Persistence,
}

fn layer() -> BulkGateLayer {
    let layer = BulkGateLayer::new().at_once(2).quiet(QUIET).longest(LONGEST).waiting(8).batch_items(ITEMS);
    layer.also(|request| request.context.call_site() == Some("export"))
}

macro_rules! stacks {
    ($layer:expr) => {
        Stacks {
            stack: |blocking_layer| {
                let stack = Persistence::builder().layer($layer).layer(blocking_layer.layer());
                stack.backend(MemoryBackend::new()).build().unwrap()
            },
        }
    };
}

#[test]
fn it_keeps_all_its_promises() {
    assert_eq!(failing(CHECKS, &stacks!(layer())), [""; 0]);
}

#[test]
fn one_that_takes_a_large_batch_for_live_is_caught() {
    let forgets = stacks!(Bypassed { layer: layer(), bypasses: |request| request.kind() == OpKind::Batch });
    assert_eq!(failing(CHECKS, &forgets), ["large-batches-wait"]);
}

#[test]
fn one_that_forgets_live_writes_is_caught() {
    let forgets = stacks!(Bypassed { layer: layer(), bypasses: |request| request.kind() == OpKind::Add });
    assert_eq!(failing(CHECKS, &forgets), WAITS);
}

#[test]
fn one_that_forgets_what_goes_on_is_caught() {
    let forgets = stacks!(Stateless(layer));
    let waits = [
        "waits-for-live-writes",
        "waits-for-quiet",
        "goes-ahead-in-the-end",
        "so-many-at-once",
        "held-when-its-caller-left",
        "too-many-waiting",
        "out-of-time",
        "large-batches-wait",
    ];
    assert_eq!(failing(CHECKS, &forgets), waits);
}

#[test]
fn one_that_takes_live_writes_for_bulk_is_caught() {
    let delays = stacks!(layer().also(|_| true));
    let waits = ["live-writes-never-wait"].into_iter().chain(WAITS);
    assert_eq!(failing(CHECKS, &delays), waits.collect::<Vec<_>>());
}
