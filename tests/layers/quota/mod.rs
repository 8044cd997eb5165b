//! Each tenant keeps to what it may do.

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

/// What every tenant may do, and how much each may store.
const OPERATIONS: (u64, u64) = (10, 5);
const BYTES: (u64, u64) = (100, 1000);
const ALLOWED: u64 = 10_000;

/// What is stored already, as a host would count it.
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

/// Stacks with the layer that `$layer` makes of a count.
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
fn it_keeps_all_its_promises() {
    assert_eq!(failing(CHECKS, &stacks!(layer)), [""; 0]);
}

#[test]
fn one_that_forgets_batches_is_caught() {
    let forgets = stacks!(|count| Bypassed {
        layer: layer(count),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(
        failing(CHECKS, &forgets),
        ["items-count", "batches-are-stored", "ends-with-content-are-writes"]
    );
}

#[test]
fn one_that_forgets_reads_is_caught() {
    let forgets =
        stacks!(|count| Bypassed { layer: layer(count), bypasses: |request| request.kind() == OpKind::Read });
    assert_eq!(failing(CHECKS, &forgets), ["reads-count"]);
}

#[test]
fn one_that_forgets_what_was_taken_is_caught() {
    let forgets = stacks!(|_| Stateless(|| layer(Count::default())));
    let counts = [
        "operations-a-second",
        "bytes-a-second",
        "items-count",
        "reads-count",
        "tenants-apart",
        "ends-pass-and-are-paid-for",
        "stored-bytes",
        "batches-are-stored",
        "names-count",
        "ends-with-content-are-writes",
        "quarantined-changes-count",
        "rows-are-stored",
    ];
    assert_eq!(failing(CHECKS, &forgets), counts);
}

#[test]
fn one_that_charges_callers_who_left_is_caught() {
    let charges = stacks!(|count| Detached(layer(count)));
    assert_eq!(failing(CHECKS, &charges), ["who-leaves-is-given-back"]);
}

#[test]
fn one_that_only_looks_at_what_is_stored_is_caught() {
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
        "operations-a-second",
        "bytes-a-second",
        "items-count",
        "reads-count",
        "tenants-apart",
        "ends-pass-and-are-paid-for",
        "stored-bytes",
        "stored-bytes-stop-no-end",
        "names-count",
        "ends-with-content-are-writes",
        "escapes-count",
        "quarantined-changes-count",
        "rows-are-stored",
    ];
    assert_eq!(failing(CHECKS, &looks), broken);
}
