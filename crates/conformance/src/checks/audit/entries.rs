//! The calls that have an audit record, and the content of the record.

use throughline_core::{
    Effect, ErrorKind, PersistArgs, PersistResult, Position, Revision,
    audit::{AuditDigest, AuditEntry, AuditNumber, AuditOutcome},
    changes::{ChangeScope, MoveCursor},
    messages::{Add, Batch, Delete},
    operations::Addressed as _,
    pipeline::Clock as _,
    threads::{ThreadArgs, ThreadResult},
};
use throughline_layers::audit::{Anchor, anchor, verify};

use super::{about, applied, audited, entries, key};
use crate::{
    call::call,
    check::checks,
    laws::every_operation,
    rig::Rig,
    shorthand::{id, position, refused, said, thread_id},
};

checks! {
    Extended "audit.every_write_has_one_entry" [Add Reserve UpdateContent Update Delete Batch Import Thread Session Read; audit] "every applied write has one audit entry, in commit order, and a batch entry lists each operation" => each;
    Extended "audit.consumer_writes_are_recorded" [Consumer Read; audit] "every write to a consumer's cursor or quarantine has an audit entry" => consumer;
    Extended "audit.entry_names_actor_time_and_hashes" [Add Read; audit keys] "an audit entry names the actor, the time and the call site, and holds hashes of key and content" => facts;
    Extended "audit.entry_lists_its_positions" [Add Batch Delete Read; audit changes] "an audit entry lists the positions that its write took, and every change has an entry" => positions;
    Extended "audit.replay_adds_no_entry" [Add Read; audit keys] "a replayed call adds no audit entry" => nothing;
    Extended "audit.entries_form_a_hash_chain" [Add Read; audit] "each audit entry holds the hash of the entry before it, and the log verifies" => chain;
    Extended "audit.rejected_writes_are_recorded" [Add Read; audit] "a refused write has a rejected-call record that states the reason and the site" => rejected;
    Extended "audit.log_survives_reopening" [Add Read; audit durable] "the audit log is complete and continues its chain after the store is reopened" => reopened;
}

async fn each(rig: Rig) {
    let db = audited(&rig).await;
    let writes = every_operation("x").into_iter().filter(|(_, args)| args.kind().is_write());
    let mut due = Vec::new();
    for (case, args) in writes {
        let answer = call(&db, args.clone(), None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        due.push(shape(&args, &answer.result));
    }
    let found = applied(&db).await;
    let found: Vec<Vec<String>> = found.iter().map(about).collect();
    assert_eq!(found, due);
}

/// The expected record of a call. Only the answer names the message that was taken.
fn shape(args: &PersistArgs, result: &PersistResult) -> Vec<String> {
    let one = |args: &PersistArgs| {
        let operation = match args {
            PersistArgs::Thread(thread) => thread.as_str(),
            PersistArgs::Session(session) => session.as_str(),
            other => other.kind().as_str(),
        };
        let messages = match args {
            PersistArgs::Import(import) => import.rows.iter().map(|row| row.id.to_string()).collect(),
            PersistArgs::Thread(ThreadArgs::TakeLast(_)) => taken(result).into_iter().collect(),
            other => other.message().map(ToString::to_string).into_iter().collect::<Vec<_>>(),
        };
        format!("{operation} {} {}", args.thread().expect("of a thread"), messages.join(","))
    };
    args.each().map(one).collect()
}

/// The id of the message that was taken.
fn taken(result: &PersistResult) -> Option<String> {
    match result {
        PersistResult::Thread(ThreadResult::TakeLast(taken)) => Some(taken.deleted.as_ref()?.id.to_string()),
        _ => None,
    }
}

async fn consumer(rig: Rig) {
    let db = audited(&rig).await;
    db.on_consumer(MoveCursor::new("index".parse().unwrap(), Position::FIRST)).await.unwrap();
    let [entry] = &applied(&db).await[..] else { panic!("one entry") };
    assert_eq!(about(entry), ["moveCursor - "]);
    assert_eq!(entry.record.items[0].of.as_deref(), Some("index"));
}

async fn facts(rig: Rig) {
    let db = audited(&rig).await.with_actor("alice@web").with_call_site("webhook");
    let other = db.for_tenant("other".parse().unwrap());
    let add = Add::new(thread_id("t"), said("m", "hello"));
    let now = rig.clock.now();
    db.thread("t").add(said("m", "hello")).key("k").await.unwrap();
    other.thread("t").add(said("m", "hello")).await.unwrap();
    db.thread("t").add(said("n", "hello")).key("l").await.unwrap();
    let found = applied(&db).await;
    let [first, second, third] = &found[..] else { panic!("three entries") };
    let record = &first.record;
    assert_eq!((&record.tenant, &second.record.tenant), (db.tenant(), other.tenant()));
    assert_eq!((record.actor.as_deref(), record.call_site.as_deref()), (Some("alice@web"), Some("webhook")));
    assert_eq!(record.at, now);
    assert_eq!(record.items[0].revision, Some(Revision::FIRST));
    assert_eq!((record.content, third.record.content), (key().content_digest(&add), record.content));
    assert!(record.content.is_some() && record.key.is_some() && second.record.key.is_none());
    assert_ne!(record.key, third.record.key);
    assert_ne!(record.call, second.record.call);
}

async fn positions(rig: Rig) {
    let db = audited(&rig).await;
    let t = || thread_id("t");
    let one = position(&db.thread("t").add(said("a", "x")).reply().await.unwrap());
    let batch = Batch::new().with(Add::new(t(), said("b", "x"))).with(Delete::new(t(), id("a")));
    let two = position(&db.batch(batch).reply().await.unwrap());
    let three = position(&db.thread("u").add(said("a", "x")).reply().await.unwrap());
    let spans: Vec<_> = applied(&db).await.iter().map(span).collect();
    assert_eq!(spans, [(Position::ZERO, one), (one, two), (two, three)]);
    let comparison = verify(&db, &key(), &[]).await.unwrap().comparison.expect("changes are claimed");
    assert_eq!((comparison.changes, comparison.without_entry), (4, 0));
}

fn span(entry: &AuditEntry) -> (Position, Position) {
    match entry.record.outcome {
        AuditOutcome::Applied { after, position } => (after, position),
        _ => panic!("not applied: {entry:?}"),
    }
}

async fn nothing(rig: Rig) {
    let db = audited(&rig).await;
    let thread = db.thread("t");
    for _ in 0..3 {
        thread.add(said("m", "x")).key("k").await.unwrap();
    }
    thread.add(said("n", "x")).await.unwrap();
    let found: Vec<_> = applied(&db).await.iter().flat_map(about).collect();
    assert_eq!(found, ["add t m", "add t n"]);
}

async fn chain(rig: Rig) {
    let db = audited(&rig).await;
    let thread = db.thread("t");
    let nothing = anchor(&db, &key()).await.unwrap();
    for name in ["a", "b", "c"] {
        thread.add(said(name, "x")).await.unwrap();
    }
    let three = anchor(&db, &key()).await.unwrap();
    thread.add(said("d", "x")).await.unwrap();
    let found = entries(&db, ChangeScope::Store).await;
    let mut before = (AuditNumber::ZERO, AuditDigest::ZERO);
    for entry in &found {
        assert_eq!((entry.number, entry.previous), (before.0.next(), before.1));
        assert!(key().has_sealed(entry), "{entry:?}");
        before = (entry.number, entry.hash);
    }
    assert_eq!(before.0, AuditNumber::new(4));
    assert_eq!((nothing.count, three.count, three.head), (AuditNumber::ZERO, found[2].number, found[2].hash));
    let report = verify(&db, &key(), &[three, nothing]).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.intact, report.anchored), (AuditNumber::new(4), AuditNumber::new(3)));
    let foreign = Anchor { count: AuditNumber::new(2), ..three };
    assert!(!verify(&db, &key(), &[foreign]).await.unwrap().is_intact());
}

async fn rejected(rig: Rig) {
    let db = audited(&rig).await.with_actor("alice");
    let name = db.describe().names().last().expect("a backend").to_owned();
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    refused(thread.add(said("m", "y")).await, ErrorKind::AlreadyExists);
    db.write_audit_records().await.unwrap();
    let found = entries(&db, ChangeScope::Store).await;
    let [_, failed] = &found[..] else { panic!("two entries: {found:?}") };
    let due = AuditOutcome::Failed {
        kind: ErrorKind::AlreadyExists,
        effect: Effect::NotApplied,
        site: name,
        times: 1,
        until: None,
    };
    assert_eq!((&failed.record.outcome, failed.record.actor.as_deref()), (&due, Some("alice")));
    assert_eq!(about(failed), ["add t m"]);
    assert!(verify(&db, &key(), &[]).await.unwrap().is_intact());
}

async fn reopened(rig: Rig) {
    let db = audited(&rig).await;
    db.thread("t").add(said("a", "x")).await.unwrap();
    let before = anchor(&db, &key()).await.unwrap();
    db.close().await.unwrap();
    drop(db);
    let db = audited(&rig).await;
    db.thread("t").add(said("b", "x")).await.unwrap();
    let found: Vec<_> = applied(&db).await.iter().flat_map(about).collect();
    assert_eq!(found, ["add t a", "add t b"]);
    let report = verify(&db, &key(), &[before]).await.unwrap();
    assert!(report.is_intact() && report.anchored == AuditNumber::FIRST, "{report:?}");
}
