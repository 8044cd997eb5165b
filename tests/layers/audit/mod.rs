//! The layer `audit`: every call has its record, whatever its outcome.

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
use crate::kit::{Bypassed, failing};

fn key() -> AuditKey {
    AuditKey::new(&[9; 32])
}

/// Creates stacks with the audit layer, optional inner layers, and an optional outer scope layer.
#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn(Option<ScopeLayer>, LayerList) -> Persistence,
}

/// Declares stacks in which `$add` adds the layer to the builder.
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

fn is_add(request: &PersistRequest) -> bool {
    request.kind() == OpKind::Add
}

#[test]
fn the_audit_layer_passes_all_checks() {
    let sound = stacks!(|stack: Builder<_>| stack.layer(AuditLayer::new(key())));
    assert_eq!(failing(CHECKS, &sound), [""; 0]);
}

#[test]
fn an_audit_layer_that_skips_batches_fails_its_check() {
    let forgets = stacks!(
        |stack: Builder<_>| stack.layer(Bypassed { layer: AuditLayer::new(key()), bypasses: is_batch })
    );
    assert_eq!(failing(CHECKS, &forgets), ["each-write-has-one-record"]);
}

#[test]
fn an_audit_layer_that_skips_adds_fails_its_checks() {
    let forgets = stacks!(
        |stack: Builder<_>| stack.layer(Bypassed { layer: AuditLayer::new(key()), bypasses: is_add })
    );
    let caught = [
        "each-write-has-one-record",
        "content-is-digested-as-sent",
        "answered-by-a-layer",
        "answered-by-another-pipeline",
        "a-layer-cannot-remove-a-record",
        "a-retried-call-has-one-record",
        "a-dropped-applied-call-has-one-record",
    ];
    assert_eq!(failing(CHECKS, &forgets), caught);
}

/// The layer is added without its own hooks, so the pipeline does not report refused calls to it.
#[test]
fn an_audit_layer_without_pipeline_hooks_fails_its_checks() {
    let unknown =
        stacks!(|stack: Builder<_>| stack.layer_as("audit", Phase::Observe, AuditLayer::new(key())));
    let caught = [
        "refused-by-an-outer-layer",
        "refused-by-the-store",
        "a-defective-layer-is-named",
        "answered-by-a-layer",
        "answered-by-another-pipeline",
        "equal-failures-are-counted",
        "a-dropped-unapplied-call-has-one-record",
        "an-invalid-id-is-recorded",
    ];
    assert_eq!(failing(CHECKS, &unknown), caught);
}
