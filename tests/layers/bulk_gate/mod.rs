//! The layer `bulk_gate`: live writes take precedence over bulk work.

mod checks;

use std::time::Duration;

use throughline::{OpKind, Persistence, layers::bulk_gate::BulkGateLayer, memory::MemoryBackend};

use self::checks::CHECKS;
use crate::kit::{BlockingLayer, Bypassed, Stateless, failing};

const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const ITEMS: usize = 4;

/// The checks in which bulk work waits for live writes.
const WAITS: [&str; 5] = [
    "bulk-waits-for-live-writes",
    "bulk-waits-for-a-quiet-period",
    "bulk-runs-after-the-longest-wait",
    "a-waiting-bulk-call-times-out",
    "a-large-batch-counts-as-bulk",
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
fn the_bulk_gate_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(layer())), [""; 0]);
}

#[test]
fn a_bulk_gate_layer_that_treats_a_large_batch_as_live_fails_its_check() {
    let forgets = stacks!(Bypassed { layer: layer(), bypasses: |request| request.kind() == OpKind::Batch });
    assert_eq!(failing(CHECKS, &forgets), ["a-large-batch-counts-as-bulk"]);
}

#[test]
fn a_bulk_gate_layer_that_ignores_live_writes_fails_its_checks() {
    let forgets = stacks!(Bypassed { layer: layer(), bypasses: |request| request.kind() == OpKind::Add });
    assert_eq!(failing(CHECKS, &forgets), WAITS);
}

#[test]
fn a_bulk_gate_layer_without_state_fails_its_checks() {
    let forgets = stacks!(Stateless(layer));
    let waits = [
        "bulk-waits-for-live-writes",
        "bulk-waits-for-a-quiet-period",
        "bulk-runs-after-the-longest-wait",
        "bulk-concurrency-is-limited",
        "bulk-permits-go-to-the-tenants-in-rotation",
        "a-dropped-running-bulk-call-holds-its-permit",
        "the-bulk-queue-is-limited",
        "a-waiting-bulk-call-times-out",
        "a-large-batch-counts-as-bulk",
    ];
    assert_eq!(failing(CHECKS, &forgets), waits);
}

#[test]
fn a_bulk_gate_layer_that_treats_live_writes_as_bulk_fails_its_checks() {
    let delays = stacks!(layer().also(|_| true));
    let waits = ["live-writes-never-wait"].into_iter().chain(WAITS);
    assert_eq!(failing(CHECKS, &delays), waits.collect::<Vec<_>>());
}
