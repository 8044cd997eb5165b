//! Who did what, whatever became of it.

mod checks;
mod limits;

use throughline::{
    Builder, OpKind, PersistRequest, Persistence, Phase,
    layers::{
        audit::{AuditKey, AuditLayer},
        scope::ScopeLayer,
    },
    memory::MemoryBackend,
    pipeline::LayerList,
};

use self::checks::CHECKS;
use crate::kit::{Skips, failing};

fn key() -> AuditKey {
    AuditKey::new(&[9; 32])
}

/// Stacks with the layer, other layers inside it, and the scope that stands outside, where there is one.
#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn(Option<ScopeLayer>, LayerList) -> Persistence,
}

/// Stacks with the layer that `$add` puts into a builder.
macro_rules! stacks {
    ($add:expr) => {
        Stacks {
            stack: |scope, inside| {
                let stack = Persistence::builder().layer_when(scope);
                $add(stack).layers(inside).backend(MemoryBackend::new()).build().unwrap()
            },
        }
    };
}

fn is_batch(request: &PersistRequest) -> bool {
    request.kind() == OpKind::Batch
}

fn is_addition(request: &PersistRequest) -> bool {
    request.kind() == OpKind::Add
}

#[test]
fn it_keeps_all_its_promises() {
    let sound = stacks!(|stack: Builder<_>| stack.layer(AuditLayer::new(key())));
    assert_eq!(failing(CHECKS, &sound), [""; 0]);
}

#[test]
fn one_that_forgets_batches_is_caught() {
    let forgets =
        stacks!(|stack: Builder<_>| stack.layer(Skips { layer: AuditLayer::new(key()), skips: is_batch }));
    assert_eq!(failing(CHECKS, &forgets), ["each-write-has-one"]);
}

#[test]
fn one_that_forgets_additions_is_caught() {
    let forgets =
        stacks!(|stack: Builder<_>| stack.layer(Skips { layer: AuditLayer::new(key()), skips: is_addition }));
    let caught = [
        "each-write-has-one",
        "content-as-it-was-sent",
        "answered-by-a-layer",
        "answered-by-another-pipeline",
        "none-is-taken-away",
        "a-repeated-call-has-one",
        "who-leaves-has-one",
    ];
    assert_eq!(failing(CHECKS, &forgets), caught);
}

/// Mounted as if it were anybody's layer, the pipeline does not know that it keeps a log.
#[test]
fn one_that_the_pipeline_does_not_know_of_is_caught() {
    let unknown =
        stacks!(|stack: Builder<_>| stack.layer_as("audit", Phase::Observe, AuditLayer::new(key())));
    let caught = [
        "refused-outside",
        "refused-by-the-store",
        "a-hostile-layer-is-named",
        "answered-by-a-layer",
        "answered-by-another-pipeline",
        "alike-are-counted",
        "a-cancelled-call-has-one",
        "an-unusable-id-has-one",
    ];
    assert_eq!(failing(CHECKS, &unknown), caught);
}
