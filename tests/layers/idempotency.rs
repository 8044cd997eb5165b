//! The layer `idempotency`, which requires keys, and keys that the pipeline derives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline::{
    Effect, ErrorKind, IdempotencyKey, NewMessage, OpKind, PersistArgs, Persistence, Role, Site,
    layers::idempotency::RequireKeyLayer,
    memory::MemoryBackend,
    messages::{Add, Batch, Delete},
    pipeline::Keyless,
    sqlite::SqliteOptions,
};

use crate::kit::{Bypassed, checks, failing};

#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn() -> Persistence,
}

macro_rules! stacks {
    ($layer:expr) => {
        Stacks {
            stack: || Persistence::builder().layer($layer).backend(MemoryBackend::new()).build().unwrap(),
        }
    };
}

mod required {
    use super::*;

    checks! {
        Stacks;
        "needs-a-key" => needs_a_key;
        "items-need-a-key" => items_need_a_key;
        "other-kinds-pass" => other_kinds_pass;
    }

    async fn needs_a_key(stacks: Stacks) {
        let thread = (stacks.stack)().thread("t");
        let error = thread.add(NewMessage::user("x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, Effect::NotApplied));
        assert_eq!(error.site(), Some(&Site::Layer("require-key".into())));
        thread.add(NewMessage::user("x")).key("k").await.unwrap();
    }

    async fn items_need_a_key(stacks: Stacks) {
        let db = (stacks.stack)();
        let add = Add::new("t".parse().unwrap(), NewMessage::user("x").with_id("m".parse().unwrap()));
        let batch = Batch::new().with(add.clone()).with(Delete::new("t".parse().unwrap(), add.id.clone()));
        let error = db.batch(batch.clone()).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Invalid, Some(0)));
        db.batch(batch).key("k").await.unwrap();
    }

    async fn other_kinds_pass(stacks: Stacks) {
        let thread = (stacks.stack)().thread("t");
        drop(thread.reserve(Role::Assistant).await.unwrap());
        thread.summary().await.unwrap();
    }
}

#[test]
fn the_idempotency_layer_passes_all_checks() {
    let all = stacks!(RequireKeyLayer::of([OpKind::Add, OpKind::Read, OpKind::Consumer]));
    assert_eq!(failing(required::CHECKS, &all), [""; 0]);
}

#[test]
fn an_idempotency_layer_that_skips_batches_fails_its_check() {
    let forgets = stacks!(Bypassed {
        layer: RequireKeyLayer::of([OpKind::Add]),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(failing(required::CHECKS, &forgets), ["items-need-a-key"]);
}

#[test]
fn an_idempotency_layer_that_requires_every_key_fails_its_check() {
    let all = stacks!(RequireKeyLayer::when(|_| true));
    assert_eq!(failing(required::CHECKS, &all), ["other-kinds-pass"]);
}

/// Derives a key from the message id, for adds from the call site that names events.
fn by_event(keyless: Keyless<'_>) -> Option<IdempotencyKey> {
    let site = keyless.call_site?;
    match keyless.args {
        PersistArgs::Add(add) => IdempotencyKey::new(format!("{site}:{}", add.id)).ok(),
        _ => None,
    }
}

#[tokio::test]
async fn a_repeated_write_with_a_derived_key_is_applied_once() {
    let memory = Persistence::builder().auto_key(by_event).backend(MemoryBackend::new()).build().unwrap();
    let store = SqliteOptions::new().temporary().await.unwrap();
    let sqlite = Persistence::builder().auto_key(by_event).backend(store).build().unwrap();
    for db in [memory, sqlite] {
        let hook = db.with_call_site("webhook").thread("t");
        let event = |text: &str| NewMessage::user(text).with_id("update-7".parse().unwrap());
        assert!(!hook.add(event("x")).await.unwrap().deduplicated);
        assert!(hook.add(event("x")).await.unwrap().deduplicated);
        assert_eq!(hook.add(event("other")).await.unwrap_err().kind(), ErrorKind::Conflict);
        // Without the call site no key is derived, and an explicit key takes precedence.
        assert_eq!(db.thread("t").add(event("x")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let error = hook.add(event("x")).key("mine").await.unwrap_err();
        assert_eq!(error.idempotency_key().unwrap().as_str(), "mine");
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn layers_see_a_derived_key() {
    let db = Persistence::builder()
        .auto_key(by_event)
        .layer(RequireKeyLayer::of([OpKind::Add]))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    db.with_call_site("webhook").thread("t").add(NewMessage::user("x")).await.unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
}

#[tokio::test]
async fn no_key_is_derived_for_operations_without_keys_and_a_panic_is_contained() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let derive = move |keyless: Keyless<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(keyless.tenant.as_str() != "bad", "not that tenant");
        None
    };
    let db = Persistence::builder().auto_key(derive).backend(MemoryBackend::new()).build().unwrap();
    db.thread("t").summary().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.thread("t").add(NewMessage::user("x")).key("k").await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let bad = db.for_tenant("bad".parse().unwrap());
    let error = bad.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect(), error.site()),
        (ErrorKind::Panicked, Effect::NotApplied, Some(&Site::Edge))
    );
    assert_eq!(error.operation(), Some(OpKind::Add));
}
