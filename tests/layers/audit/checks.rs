use std::time::Duration;

use throughline::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistRequest, Persistence, Phase, PluginLayer, Role,
    audit::{AuditEntry, AuditFrom, AuditOutcome, ReadAudit},
    changes::ChangeScope,
    layers::{
        audit::verify,
        chaos::{ChaosLayer, Fault, Rule},
        encrypt::{EncryptLayer, Key, KeyRing},
        retry::RetryLayer,
        scope::{ScopeLayer, Verb},
    },
    memory::MemoryBackend,
    messages::{Add, Batch, Delete},
    pipeline::{Extensions, LayerList},
    plugin::{NextRequest, from_fn, respond},
    redirect::redirect,
};

use super::{Stacks, key};
use crate::kit::{BlockingLayer, checks, settle};

checks! {
    Stacks;
    "each-write-has-one-record" => each_write_has_one_record;
    "content-is-digested-as-sent" => content_is_digested_as_sent;
    "refused-by-an-outer-layer" => a_call_refused_by_an_outer_layer_is_recorded;
    "refused-by-the-store" => a_call_refused_by_the_store_is_recorded;
    "a-defective-layer-is-named" => a_defective_layer_is_named;
    "answered-by-a-layer" => a_call_answered_by_a_layer_is_recorded;
    "answered-by-another-pipeline" => a_redirected_call_is_recorded;
    "equal-failures-are-counted" => equal_failures_are_counted_in_one_record;
    "a-layer-cannot-remove-a-record" => a_layer_that_clears_extensions_removes_no_record;
    "a-retried-call-has-one-record" => a_retried_call_has_one_record;
    "a-dropped-applied-call-has-one-record" => a_dropped_applied_call_has_one_record;
    "a-dropped-unapplied-call-has-one-record" => a_dropped_unapplied_call_has_one_record;
    "an-invalid-id-is-recorded" => a_call_with_an_invalid_id_is_recorded;
}

fn message(name: &str) -> NewMessage {
    NewMessage::user("hello").with_id(name.parse().unwrap())
}

/// Returns every record, after the pending records are written.
async fn log(db: &Persistence) -> Vec<AuditEntry> {
    db.write_audit_records().await.unwrap();
    let page = db.read(ReadAudit::new(ChangeScope::Store, AuditFrom::End, 100)).await.unwrap();
    page.entries
}

fn failures(log: &[AuditEntry]) -> Vec<(ErrorKind, String, u64)> {
    let failed = |entry: &AuditEntry| match &entry.record.outcome {
        AuditOutcome::Failed { kind, effect, site, times, .. } => {
            assert_eq!(*effect, Effect::NotApplied);
            Some((*kind, site.clone(), *times))
        }
        _ => None,
    };
    log.iter().filter_map(failed).collect()
}

async fn each_write_has_one_record(stacks: Stacks) {
    let db = (stacks.stack)(None, LayerList::new());
    let thread = db.thread("t");
    thread.add(message("a")).await.unwrap();
    let add = Add::new("t".parse().unwrap(), message("b"));
    db.batch(Batch::new().with(add).with(Delete::new("t".parse().unwrap(), "a".parse().unwrap())))
        .await
        .unwrap();
    thread.delete_thread().await.unwrap();
    let names: Vec<Vec<String>> = log(&db)
        .await
        .iter()
        .map(|entry| entry.record.items.iter().map(|item| item.operation.to_string()).collect())
        .collect();
    assert_eq!(names, [vec!["add"], vec!["add", "delete"], vec!["deleteThread"]]);
    assert!(verify(&db, &key(), &[]).await.unwrap().is_intact());
}

async fn content_is_digested_as_sent(stacks: Stacks) {
    let key_ring = KeyRing::new(Key::new("k".parse().unwrap(), &[7; 32]));
    let db = (stacks.stack)(None, LayerList::new().with(EncryptLayer::new(key_ring)));
    db.thread("t").add(message("a")).await.unwrap();
    let sent = key().content_digest(&Add::new("t".parse().unwrap(), message("a")));
    assert_eq!(log(&db).await[0].record.content, sent);
    // A read returns decrypted content, which is equal to the sent content.
    let read = db.thread("t").get("a".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(key().content_digest(&read), sent);
}

async fn a_call_refused_by_an_outer_layer_is_recorded(stacks: Stacks) {
    let scope = ScopeLayer::new();
    let everything = scope.authority().everything();
    let db = (stacks.stack)(Some(scope), LayerList::new());
    let reader = db
        .with_credential(everything.in_thread("t".parse().unwrap()).only([Verb::Read]))
        .with_actor("mallory");
    for thread in ["t", "u"] {
        assert_eq!(reader.thread(thread).add(message("a")).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(reader.thread("u").get("a".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::Denied);
    let log = log(&db.with_credential(everything)).await;
    // Both adds were refused for the same reason, so they share one record with the first call's data.
    let denied = |times| (ErrorKind::Denied, "scope".to_owned(), times);
    assert_eq!(failures(&log), [denied(2), denied(1)]);
    let about = |entry: &AuditEntry| {
        let item = &entry.record.items[0];
        (item.operation.to_string(), item.thread.as_ref().unwrap().to_string(), item.messages[0].to_string())
    };
    let due = [("add", "t"), ("get", "u")];
    assert_eq!(
        log.iter().map(about).collect::<Vec<_>>(),
        due.map(|(op, t)| (op.to_owned(), t.to_owned(), "a".to_owned()))
    );
    assert!(log.iter().all(|entry| entry.record.actor.as_deref() == Some("mallory")));
}

async fn a_call_refused_by_the_store_is_recorded(stacks: Stacks) {
    let db = (stacks.stack)(None, LayerList::new());
    let thread = db.thread("t");
    let id = || "a".parse().unwrap();
    assert_eq!(thread.delete(id()).await.unwrap_err().kind(), ErrorKind::NotFound);
    // A read of a missing message is not a failure.
    assert_eq!(thread.get(id()).await.unwrap(), None);
    assert_eq!(failures(&log(&db).await), [(ErrorKind::NotFound, "memory".to_owned(), 1)]);
}

/// A defective layer changes the thread of the operation.
async fn a_defective_layer_is_named(stacks: Stacks) {
    let elsewhere = from_fn("hostile", Phase::Route, |mut request: PersistRequest, next: NextRequest| {
        if let PersistArgs::Delete(delete) = &mut request.args {
            delete.thread = "other".parse().unwrap();
        }
        next.run(request)
    });
    let db = (stacks.stack)(None, LayerList::new().with(elsewhere));
    let refused = db.thread("t").delete("a".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ContractViolation);
    let log = log(&db).await;
    assert_eq!(failures(&log), [(ErrorKind::ContractViolation, "hostile".to_owned(), 1)]);
    assert_eq!(log[0].record.items[0].thread.as_ref().unwrap().as_str(), "t");
}

async fn a_call_answered_by_a_layer_is_recorded(stacks: Stacks) {
    let store = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let answer =
        tower::ServiceExt::oneshot(store, Add::new("t".parse().unwrap(), message("a")).into()).await.unwrap();
    let answers = respond("answers", move |args, _| {
        matches!(args, PersistArgs::Add(_)).then(|| Ok(answer.result.clone()))
    });
    let db = (stacks.stack)(None, LayerList::new().with(PluginLayer::new(answers)));
    db.thread("t").add(message("a")).await.unwrap();
    let log = log(&db).await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].record.outcome, AuditOutcome::Elsewhere { times: 1 });
    assert!(log[0].record.content.is_some());
}

async fn a_redirected_call_is_recorded(stacks: Stacks) {
    let target = Persistence::builder().backend(MemoryBackend::new().with_name("there")).build().unwrap();
    let away = redirect("away", |_, thread| thread.as_str() == "away", target);
    let db = (stacks.stack)(None, LayerList::new().with(away));
    db.thread("away").add(message("a")).await.unwrap();
    db.thread("here").add(message("a")).await.unwrap();
    let outcomes: Vec<bool> = log(&db).await.iter().map(|entry| entry.record.is_applied()).collect();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes.iter().filter(|applied| **applied).count(), 1);
}

async fn equal_failures_are_counted_in_one_record(stacks: Stacks) {
    let blocking_layer = BlockingLayer::open();
    let db = (stacks.stack)(None, LayerList::new().with(blocking_layer.layer()));
    let thread = db.thread("t");
    for _ in 0..3 {
        // Each call is answered at once, before the first record is written.
        assert!(thread.delete("a".parse().unwrap()).await.is_err());
    }
    assert!(db.with_actor("bob").thread("t").delete("a".parse().unwrap()).await.is_err());
    let log = log(&db).await;
    let times: u64 = failures(&log).iter().map(|(_, _, times)| times).sum();
    assert_eq!((times, log.last().unwrap().record.actor.as_deref()), (4, Some("bob")));
    assert!(log.len() < 4, "{}", log.len());
}

/// An inner layer replaces the extensions of the context.
async fn a_layer_that_clears_extensions_removes_no_record(stacks: Stacks) {
    let throws = from_fn("throws", Phase::Route, |mut request: PersistRequest, next: NextRequest| {
        *request.context.extensions_mut() = Extensions::new();
        next.run(request)
    });
    let db = (stacks.stack)(None, LayerList::new().with(throws));
    db.thread("t").add(message("a")).await.unwrap();
    assert_eq!(log(&db).await.iter().filter(|entry| entry.record.is_applied()).count(), 1);
}

/// The first attempt is applied but its answer is lost; the second attempt is a replay.
async fn a_retried_call_has_one_record(stacks: Stacks) {
    let loses = Rule::new("loses", Fault::lost_answer(ErrorKind::Unavailable)).nth(1);
    let inside = LayerList::new()
        .with(RetryLayer::new().backoff(Duration::from_micros(1), Duration::from_micros(2)))
        .with(ChaosLayer::seeded(1).rule(loses));
    let db = (stacks.stack)(None, inside);
    let added = db.thread("t").add(message("a")).key("k").await.unwrap();
    assert!(added.deduplicated);
    assert_eq!(log(&db).await.iter().map(|entry| entry.record.is_applied()).collect::<Vec<_>>(), [true]);
}

/// The caller leaves before the store has received the call: nothing ran, but the call is recorded.
async fn a_dropped_unapplied_call_has_one_record(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(None, LayerList::new().with(blocking_layer.layer()));
    let write = tokio::spawn(db.thread("t").add(message("a")).into_future());
    let read = tokio::spawn(db.thread("t").get("a".parse().unwrap()).into_future());
    settle().await;
    write.abort();
    read.abort();
    settle().await;
    // A future that was never polled is no call.
    drop(db.thread("t").add(message("b")).into_future());
    blocking_layer.release(1);
    let log = log(&db).await;
    let [(ErrorKind::Cancelled, _, 1)] = failures(&log)[..] else { panic!("{log:?}") };
    assert_eq!(log[0].record.items[0].messages, ["a".parse().unwrap()]);
}

async fn a_call_with_an_invalid_id_is_recorded(stacks: Stacks) {
    let db = (stacks.stack)(None, LayerList::new()).with_actor("mallory");
    let thread = db.thread("no\nid");
    assert_eq!(thread.add(message("a")).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(thread.purge().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(thread.reserve(Role::User).await.unwrap_err().kind(), ErrorKind::Invalid);
    // A read with an invalid id is not recorded: it reveals and changes nothing.
    assert_eq!(thread.get("a".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::Invalid);
    let log = log(&db).await;
    let invalid = || (ErrorKind::Invalid, "edge".to_owned(), 1);
    assert_eq!(failures(&log), [invalid(), invalid(), invalid()]);
    let about: Vec<&str> = log.iter().map(|entry| &*entry.record.items[0].operation).collect();
    assert_eq!(about, ["add", "thread", "reserve"]);
    assert!(log.iter().all(|entry| entry.record.actor.as_deref() == Some("mallory")));
}

async fn a_dropped_applied_call_has_one_record(stacks: Stacks) {
    let blocking_layer = BlockingLayer::answers();
    let db = (stacks.stack)(None, LayerList::new().with(blocking_layer.layer()));
    let write = tokio::spawn(db.thread("t").add(message("a")).into_future());
    settle().await;
    write.abort();
    settle().await;
    blocking_layer.release(1);
    settle().await;
    assert_eq!(log(&db).await.iter().map(|entry| entry.record.is_applied()).collect::<Vec<_>>(), [true]);
}
