//! `Update`.

use throughline_core::{
    ErrorKind, Message, MessageState, MetadataPatch, NewReservation, OpKind, Revision, Role,
    ids::AttachmentKey,
    messages::{Batch, ContentChange, Reserve, Update, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, refused, said, shown, the},
};

checks! {
    Core "messages.patch_keeps_clears_or_sets_each_member" [Add Update Read] "a metadata patch keeps absent members, removes null members and sets the others exactly" => patch;
    Core "messages.patch_is_shallow" [Add Update Read] "a metadata patch sets a nested value as a whole and keeps nested nulls" => shallow;
    Core "messages.patch_keeps_the_revision_in_every_state" [Add Reserve UpdateContent Update Read] "a metadata patch works in every state and does not raise the revision" => any_state;
    Core "messages.update_sets_or_keeps_attachments" [Add Update Read] "an update without attachments keeps them, an empty list clears them, another list sets them" => attachments;
    Core "messages.update_of_another_revision_is_stale" [Add Update Read] "an update that expects another revision is stale, and one with the current revision succeeds" => expected;
    Core "messages.update_of_unknown_id_is_not_found" [Update Read] "an update of an unknown id is refused as not found and creates no message" => not_found;
    Core "messages.metadata_above_the_call_limit_is_refused" [Add Update Read] "a patch that makes the metadata longer than the limit of the call is refused" => metadata_limit;
    Core "messages.empty_patch_changes_nothing" [Add Update Read] "an empty metadata patch changes nothing" => nothing;
}

fn update(patch: &str) -> Update {
    let patch: MetadataPatch = serde_json::from_str(patch).unwrap();
    Update::new("t".parse().unwrap(), id("m"), patch)
}

async fn patch(rig: Rig) {
    let db = rig.db().await;
    let message = said("m", "x").with_metadata(facts(r#"{"keep":1.10,"clear":2,"set":{"deep":1}}"#));
    let before = db.thread("t").add(message).await.unwrap().message;
    let patch = r#"{"clear":null,"set":"v","new":18446744073709551615,"never":null}"#;
    let updated = db.run(update(patch)).await.unwrap();
    let expected = r#"{"keep":1.10,"new":18446744073709551615,"set":"v"}"#;
    assert_eq!(shown(&updated.metadata), expected);
    assert_eq!((updated.revision, updated.deduplicated), (before.revision, false));
    assert_eq!(the(&db.thread("t"), "m").await, Message { metadata: facts(expected), ..before });
}

async fn shallow(rig: Rig) {
    let db = rig.db().await;
    let message = said("m", "x").with_metadata(facts(r#"{"a":{"one":1,"two":2},"n":null}"#));
    db.thread("t").add(message).await.unwrap();
    db.run(update(r#"{"a":{"two":null}}"#)).await.unwrap();
    // A null that was added as a value is a value until a patch clears it.
    assert_eq!(shown(&the(&db.thread("t"), "m").await.metadata), r#"{"a":{"two":null},"n":null}"#);
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
        db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        if let Some(mode) = mode {
            thread.update_content(id(name), append("x"), mode).await.unwrap();
        }
        let before = the(&thread, name).await;
        thread.update(id(name), serde_json::from_str(r#"{"k":1}"#).unwrap()).await.unwrap();
        let expected = Message { metadata: facts(r#"{"k":1}"#), ..before };
        assert_eq!(expected.state, state);
        assert_eq!(the(&thread, name).await, expected);
    }
    // And an open one goes on as if nothing had happened.
    thread.update_content(id("streaming"), append("y"), UpdateMode::Partial).await.unwrap();
    thread.update_content(id("streaming"), ContentChange::none(), UpdateMode::Final).await.unwrap();
    assert_eq!(shown(&the(&thread, "streaming").await.metadata), r#"{"k":1}"#);
}

async fn attachments(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let keys =
        |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<AttachmentKey>>();
    thread.add(said("m", "x").with_attachments(keys(&["a"]))).await.unwrap();
    assert_eq!(db.run(update("{}")).await.unwrap().attachments, keys(&["a"]));
    let set = db.run(update("{}").with_attachments(keys(&["b", "a"]))).await.unwrap();
    assert_eq!(set.attachments, keys(&["b", "a"]));
    assert_eq!(the(&thread, "m").await.attachments, keys(&["b", "a"]));
    assert_eq!(db.run(update("{}").with_attachments([])).await.unwrap().attachments, []);
    assert_eq!(the(&thread, "m").await.attachments, []);
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    let before = db.thread("t").add(said("m", "x")).await.unwrap().message;
    refused(db.run(update(r#"{"k":1}"#).expecting(Revision::new(2))).await, ErrorKind::Stale);
    assert_eq!(the(&db.thread("t"), "m").await, before);
    db.run(update(r#"{"k":1}"#).expecting(Revision::FIRST)).await.expect("the revision that it has");
    db.run(update(r#"{"k":2}"#).expecting(Revision::FIRST)).await.expect("a patch raises no revision");
}

async fn not_found(rig: Rig) {
    let db = rig.db().await;
    let error = refused(db.run(update(r#"{"k":1}"#)).await, ErrorKind::NotFound);
    assert_eq!(error.message(), Some(&id("m")));
    assert_eq!(everything(&db.thread("t")).await, []);
}

async fn nothing(rig: Rig) {
    let db = rig.db().await;
    let message = said("m", "x").with_metadata(facts(r#"{"k":1}"#)).with_attachments(["a".parse().unwrap()]);
    let before = db.thread("t").add(message).await.unwrap().message;
    db.run(update("{}")).await.unwrap();
    assert_eq!(the(&db.thread("t"), "m").await, before);
}

async fn metadata_limit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let whole = r#"{"a":"01234","b":"56789"}"#;
    let max = facts(whole).byte_len() as u64;
    let within = |patch: &str| db.run(update(patch).within(max));
    thread.add(said("m", "x")).await.unwrap();
    within(r#"{"a":"01234"}"#).await.unwrap();
    for beyond in [r#"{"b":"567890"}"#, r#"{"b":"5678","c":0}"#, r#"{"a":"0123456789abcdef"}"#] {
        let error = refused(within(beyond).await, ErrorKind::TooLarge);
        assert_eq!(error.message(), Some(&id("m")));
    }
    if rig.capabilities.supports(OpKind::Batch) {
        let (b, c) = (update(r#"{"b":"5678"}"#).within(max), update(r#"{"c":0}"#).within(max));
        refused(db.batch(Batch::new().with(b).with(c)).await, ErrorKind::TooLarge);
    }
    assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"a":"01234"}"#);
    // To the byte, and no call without a limit is held to that of another.
    within(r#"{"b":"56789"}"#).await.unwrap();
    assert_eq!(shown(&the(&thread, "m").await.metadata), whole);
    db.run(update(r#"{"c":"beyond"}"#)).await.unwrap();
    refused(within(r#"{"d":0}"#).await, ErrorKind::TooLarge);
    // A patch that does not make the metadata longer succeeds.
    within("{}").await.unwrap();
    within(r#"{"c":"Beyond"}"#).await.unwrap();
    within(r#"{"a":null,"d":0}"#).await.unwrap();
    assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"b":"56789","c":"Beyond","d":0}"#);
}
