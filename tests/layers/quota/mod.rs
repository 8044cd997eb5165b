//! The layer `quota`: each tenant stays within its limits.

mod checks;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use throughline::{
    ErrorKind, OpKind, PersistError, PersistRequest, Persistence, Phase,
    layers::quota::{Quota, QuotaLayer, Stored},
    memory::MemoryBackend,
    messages::CarriesContent as _,
    plugin::{NextRequest, from_fn},
};

use self::checks::CHECKS;
use crate::kit::{BlockingLayer, Bypassed, Detached, Stateless, failing};

/// The limits of every tenant: operations, bytes, and stored bytes.
const OPERATIONS: (u64, u64) = (10, 5);
const BYTES: (u64, u64) = (100, 1000);
const ALLOWED: u64 = 10_000;

/// The stored bytes of a tenant, as a host would count them.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    fn set(&self, used: u64) {
        self.0.store(used, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn(&BlockingLayer, Count) -> Persistence,
}

fn layer(count: Count) -> QuotaLayer {
    let quota = Quota::new().operations(OPERATIONS.0, OPERATIONS.1).bytes(BYTES.0, BYTES.1);
    let used = move || count.0.load(Ordering::Relaxed);
    QuotaLayer::new(quota).stored(move |_| Stored { used: used(), allowed: ALLOWED })
}

/// Declares stacks with the layer that `$layer` creates for a count.
macro_rules! stacks {
    ($layer:expr) => {
        Stacks {
            stack: |blocking_layer, count| {
                let stack = Persistence::builder().layer($layer(count)).layer(blocking_layer.layer());
                stack.backend(MemoryBackend::new()).build().unwrap()
            },
        }
    };
}

#[test]
fn the_quota_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(layer)), [""; 0]);
}

#[test]
fn a_quota_layer_that_skips_batches_fails_its_checks() {
    let forgets = stacks!(|count| Bypassed {
        layer: layer(count),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(
        failing(CHECKS, &forgets),
        ["batch-items-count", "batches-count-as-stored", "finishes-with-content-count"]
    );
}

#[test]
fn a_quota_layer_that_skips_reads_fails_its_check() {
    let forgets =
        stacks!(|count| Bypassed { layer: layer(count), bypasses: |request| request.kind() == OpKind::Read });
    assert_eq!(failing(CHECKS, &forgets), ["reads-count-as-operations"]);
}

#[test]
fn a_quota_layer_without_state_fails_its_checks() {
    let forgets = stacks!(|_| Stateless(|| layer(Count::default())));
    let counts = [
        "operations-per-second-are-limited",
        "bytes-per-second-are-limited",
        "batch-items-count",
        "reads-count-as-operations",
        "tenants-have-separate-limits",
        "finishes-are-accepted-and-counted",
        "stored-bytes-are-limited",
        "batches-count-as-stored",
        "names-and-metadata-count",
        "finishes-with-content-count",
        "quarantined-changes-count",
        "added-rows-count",
    ];
    assert_eq!(failing(CHECKS, &forgets), counts);
}

#[test]
fn a_quota_layer_that_charges_dropped_calls_fails_its_check() {
    let charges = stacks!(|count| Detached(layer(count)));
    assert_eq!(failing(CHECKS, &charges), ["a-dropped-call-returns-its-share"]);
}

#[test]
fn a_quota_layer_that_checks_only_stored_bytes_fails_its_checks() {
    let looks = stacks!(|count: Count| {
        from_fn("quota", Phase::Admit, move |request: PersistRequest, next: NextRequest| {
            let count = count.clone();
            async move {
                let bytes: usize =
                    request.args.content_fields().iter().map(|field| field.value.byte_len()).sum();
                if count.0.load(Ordering::Relaxed) + bytes as u64 > ALLOWED {
                    return Err(PersistError::new(ErrorKind::StorageFull, "full"));
                }
                next.run(request).await
            }
        })
    });
    let broken = [
        "operations-per-second-are-limited",
        "bytes-per-second-are-limited",
        "batch-items-count",
        "reads-count-as-operations",
        "tenants-have-separate-limits",
        "finishes-are-accepted-and-counted",
        "stored-bytes-are-limited",
        "stored-bytes-refuse-no-finish",
        "names-and-metadata-count",
        "finishes-with-content-count",
        "escaped-characters-count",
        "quarantined-changes-count",
        "added-rows-count",
    ];
    assert_eq!(failing(CHECKS, &looks), broken);
}
