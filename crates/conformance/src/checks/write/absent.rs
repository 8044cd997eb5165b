//! `Update` with metadata that is set only where it is absent.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Message, MessageState, MetadataPatch, NewReservation, OpKind, Revision, Role,
    changes::{ChangeKind, ChangeScope},
    messages::{Batch, Reserve, Update, UpdateMode, Updated},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, changes_after, facts, id, refused, said, shown, the, thread_id},
};

checks! {
    Core "messages.absent_names_are_set_and_present_names_are_kept" [Add Update Read] "an update where absent sets the names that the message does not have, keeps the others, and answers which" => names;
    Core "messages.absent_names_are_set_in_every_state" [Add Reserve UpdateContent Update Read] "an update where absent works in every state and does not raise the revision" => any_state;
    Core "messages.update_of_present_names_is_no_change" [Add Update Read] "an update where absent that sets nothing changes no time, and one that sets a name does" => no_change;
    Core "messages.absent_metadata_above_the_call_limit_is_refused" [Add Update Read] "an update where absent is refused if it sets names beyond the limit of the call, and only then" => limit;
    Core "messages.update_where_absent_of_unknown_id_is_not_found" [Add Update Delete Read] "an update where absent of an unknown or deleted id is refused as not found" => not_found;
    Extended "batches.absent_names_are_decided_item_by_item" [Add Update Batch Read] "an update where absent in a batch sees the items before it, and a refused batch sets nothing" => batch;
    Extended "keys.replayed_update_names_what_the_first_call_kept" [Add Update Read; keys] "a repeated update where absent names what the first call kept, and the current metadata" => replay;
    Extended "changes.update_of_present_names_emits_none" [Add Update Read; changes] "an update where absent emits a change only if it sets a name" => emitted;
}

fn absent(values: &str) -> Update {
    Update::setting_absent(thread_id("t"), id("m"), facts(values))
}

fn metadata(of: &Updated) -> (String, Vec<&str>) {
    (shown(&of.metadata), of.kept.iter().map(String::as_str).collect())
}

async fn names(rig: Rig) {
    let db = rig.db().await;
    let message = said("m", "x").with_metadata(facts(r#"{"a":1.10,"n":null}"#));
    let before = db.thread("t").add(message).await.unwrap().message;
    let updated = db.run(absent(r#"{"a":2,"n":3,"new":18446744073709551615}"#)).await.unwrap();
    let expected = r#"{"a":1.10,"n":null,"new":18446744073709551615}"#;
    assert_eq!(metadata(&updated), (expected.to_owned(), vec!["a", "n"]));
    assert_eq!((updated.seq, updated.revision, updated.deduplicated), (before.seq, before.revision, false));
    assert_eq!(the(&db.thread("t"), "m").await, Message { metadata: facts(expected), ..before });
    // Next to a patch of other names: a cleared name is absent afterwards.
    let patch: MetadataPatch = serde_json::from_str(r#"{"n":null,"p":1}"#).unwrap();
    let both = Update::new(thread_id("t"), id("m"), patch).with_absent(facts(r#"{"a":0,"q":[null]}"#));
    let updated = db.run(both).await.unwrap();
    let expected = r#"{"a":1.10,"new":18446744073709551615,"p":1,"q":[null]}"#;
    assert_eq!(metadata(&updated), (expected.to_owned(), vec!["a"]));
    let updated = db.thread("t").set_absent(id("m"), facts(r#"{"n":"first"}"#)).await.unwrap();
    assert_eq!(updated.kept, Vec::<String>::new());
    assert_eq!(
        shown(&the(&db.thread("t"), "m").await.metadata),
        expected.replace(r#","new""#, r#","n":"first","new""#)
    );
}

async fn any_state(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let modes = [
        (MessageState::Reserved, None),
        (MessageState::Streaming, Some(UpdateMode::Partial)),
        (MessageState::Final, Some(UpdateMode::Final)),
        (MessageState::Abandoned, Some(UpdateMode::Abandon { reason: None })),
    ];
    for (state, mode) in modes {
        let name = state.as_str();
        let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id("t"), reservation)).await.unwrap();
        if let Some(mode) = mode {
            thread.update_content(id(name), append("x"), mode).await.unwrap();
        }
        let before = the(&thread, name).await;
        assert_eq!(before.state, state);
        for value in [r#"{"k":1}"#, r#"{"k":2}"#] {
            thread.set_absent(id(name), facts(value)).await.unwrap();
        }
        assert_eq!(the(&thread, name).await, Message { metadata: facts(r#"{"k":1}"#), ..before });
    }
    let update = absent(r#"{"k":1}"#);
    thread.add(said("m", "x")).await.unwrap();
    refused(db.run(update.clone().expecting(Revision::new(2))).await, ErrorKind::Stale);
    assert_eq!(db.run(update.expecting(Revision::FIRST)).await.unwrap().revision, Revision::FIRST);
}

async fn no_change(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let before = thread.add(said("m", "x").with_metadata(facts(r#"{"k":1}"#))).await.unwrap().message;
    rig.clock.advance(Duration::from_secs(1));
    let updated = db.run(absent(r#"{"k":2}"#)).await.unwrap();
    assert_eq!(metadata(&updated), (r#"{"k":1}"#.to_owned(), vec!["k"]));
    assert_eq!(the(&thread, "m").await, before);
    let later = rig.clock.advance(Duration::from_secs(1));
    db.run(absent(r#"{"k":2,"l":0}"#)).await.unwrap();
    let expected = Message { metadata: facts(r#"{"k":1,"l":0}"#), updated_at: later, ..before };
    assert_eq!(the(&thread, "m").await, expected);
    // The other parts of such an update are changes.
    let latest = rig.clock.advance(Duration::from_secs(1));
    db.run(absent(r#"{"k":2}"#).with_attachments(["a".parse().unwrap()])).await.unwrap();
    let read = the(&thread, "m").await;
    assert_eq!((read.updated_at, read.attachments), (latest, vec!["a".parse().unwrap()]));
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let whole = r#"{"a":"01234","b":"56789"}"#;
    let max = facts(whole).byte_len() as u64;
    let within = |values: &str| db.run(absent(values).within(max));
    thread.add(said("m", "x").with_metadata(facts(r#"{"a":"01234"}"#))).await.unwrap();
    let error = refused(within(r#"{"b":"567890"}"#).await, ErrorKind::TooLarge);
    assert_eq!(error.message(), Some(&id("m")));
    assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"a":"01234"}"#);
    // Values that are kept do not count: only what is stored afterwards does.
    within(r#"{"a":"0123456789abcdef","b":"56789"}"#).await.unwrap();
    assert_eq!(shown(&the(&thread, "m").await.metadata), whole);
    within(r#"{"a":"0123456789abcdef"}"#).await.unwrap();
    refused(within(r#"{"c":0}"#).await, ErrorKind::TooLarge);
}

async fn not_found(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    refused(db.run(absent(r#"{"k":1}"#)).await, ErrorKind::NotFound);
    thread.add(said("m", "x")).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let error = refused(db.run(absent(r#"{"k":1}"#)).await, ErrorKind::NotFound);
    assert_eq!(error.message(), Some(&id("m")));
    assert_eq!(thread.get(id("m")).await.unwrap(), None);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x").with_metadata(facts(r#"{"a":1}"#))).await.unwrap();
    let clear: MetadataPatch = serde_json::from_str(r#"{"a":null}"#).unwrap();
    let batch = Batch::new()
        .with(absent(r#"{"a":2,"b":2}"#))
        .with(Update::new(thread_id("t"), id("m"), clear))
        .with(absent(r#"{"a":3,"b":3}"#));
    let outputs = db.batch(batch.clone()).await.unwrap().outputs;
    let kept: Vec<Vec<String>> = outputs
        .into_iter()
        .map(|output| match output {
            throughline_core::PersistResult::Update(updated) => updated.kept,
            other => panic!("an update is answered as a {}", other.kind()),
        })
        .collect();
    assert_eq!(kept, [vec!["a".to_owned()], vec![], vec!["b".to_owned()]]);
    assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"a":3,"b":2}"#);
    if rig.capabilities.supports(OpKind::Delete) {
        let unknown = throughline_core::messages::Delete::new(thread_id("t"), id("unknown"));
        refused(db.batch(Batch::new().with(absent(r#"{"c":1}"#)).with(unknown)).await, ErrorKind::NotFound);
        assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"a":3,"b":2}"#);
    }
}

async fn replay(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x").with_metadata(facts(r#"{"a":1}"#))).await.unwrap();
    let claim = || db.run(absent(r#"{"a":2,"b":2}"#)).key("claim");
    let first = claim().await.unwrap();
    assert_eq!(metadata(&first), (r#"{"a":1,"b":2}"#.to_owned(), vec!["a"]));
    thread.update(id("m"), MetadataPatch::new().clear("a")).await.unwrap();
    let again = claim().await.unwrap();
    // A second call would have set `a`, and kept `b`.
    assert_eq!(metadata(&again), (r#"{"b":2}"#.to_owned(), vec!["a"]));
    assert!(again.deduplicated && again.seq == first.seq);
    refused(db.run(absent(r#"{"a":2,"b":3}"#)).key("claim").await, ErrorKind::Conflict);
}

async fn emitted(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let added = thread.add(said("m", "x").with_metadata(facts(r#"{"k":1}"#))).reply().await.unwrap();
    let after = added.receipt.position.expect("a change has a position");
    db.run(absent(r#"{"k":2}"#)).await.unwrap();
    assert_eq!(changes_after(&db, ChangeScope::Tenant, after).await, []);
    db.run(absent(r#"{"k":2,"l":2}"#)).await.unwrap();
    let changes = changes_after(&db, ChangeScope::Tenant, after).await;
    let patched: Vec<_> = changes
        .into_iter()
        .map(|change| match change.kind {
            ChangeKind::Patched(message) => message.id,
            other => panic!("an update is emitted as {other:?}"),
        })
        .collect();
    assert_eq!(patched, [id("m")]);
}
