//! `UpdateContent`: the life of a message.

use throughline_core::{
    ErrorKind, Message, MessageState, NewReservation, Persistence, Revision, Role,
    messages::{ContentChange, Reserve, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, json, refused, replace, said, the},
};

checks! {
    Core "messages.each_update_mode_obeys_the_state_table" [Add Reserve UpdateContent Read] "each update mode has in each state the effect that the table of `UpdateMode` documents" => table;
    Core "messages.update_content_of_unknown_id_is_not_found" [UpdateContent Read] "a content update of an unknown id is refused as not found and creates no message" => not_found;
    Core "messages.late_partial_is_stale" ("VL-S11") [Add Reserve UpdateContent Read] "a partial update after the end is stale, and the final content is unchanged" => late_partial;
    Core "messages.append_with_a_revision_gap_is_stale" ("VL-S11") [Reserve UpdateContent Read] "an append whose expected revision leaves a gap or overlaps is stale" => gap;
    Core "messages.matching_revision_is_accepted_in_every_mode" [Reserve UpdateContent Read] "a content update that expects the current revision succeeds, in every mode" => expected;
    Core "drafts.abandoned_message_keeps_content_and_reason" [Reserve UpdateContent Read] "an abandoned message keeps its committed content and its reason" => reason;
    Core "drafts.abandon_needs_no_reason" [Reserve UpdateContent Read] "a message can be abandoned without a reason" => without_reason;
    Core "messages.edit_changes_content_and_revision_only" [Add UpdateContent Read] "an edit of a final message changes its content and revision and nothing else" => edit;
}

fn modes() -> [UpdateMode; 4] {
    [UpdateMode::Partial, UpdateMode::Final, UpdateMode::Abandon { reason: None }, UpdateMode::Edit]
}

const STATES: [MessageState; 4] =
    [MessageState::Reserved, MessageState::Streaming, MessageState::Final, MessageState::Abandoned];

/// A message `m` of `thread` in this state, with the content `["before"]` unless it is reserved.
async fn in_state(db: &Persistence, thread: &str, state: MessageState) -> Message {
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
    let thread = db.thread(thread);
    let mode = match state {
        MessageState::Reserved => return the(&thread, "m").await,
        MessageState::Streaming => UpdateMode::Partial,
        MessageState::Final => UpdateMode::Final,
        MessageState::Abandoned => UpdateMode::Abandon { reason: None },
    };
    thread.update_content(id("m"), ContentChange::Replace(json("[\"before\"]")), mode).await.unwrap();
    let message = the(&thread, "m").await;
    assert_eq!(message.state, state);
    message
}

async fn table(rig: Rig) {
    use MessageState::{Abandoned, Final, Streaming};
    const STALE: Result<MessageState, ErrorKind> = Err(ErrorKind::Stale);
    const CONFLICT: Result<MessageState, ErrorKind> = Err(ErrorKind::Conflict);
    let rows = [
        [Ok(Streaming), Ok(Streaming), STALE, STALE],
        [Ok(Final), Ok(Final), STALE, STALE],
        [Ok(Abandoned), Ok(Abandoned), STALE, STALE],
        [CONFLICT, CONFLICT, Ok(Final), STALE],
    ];
    let db = rig.db().await;
    for (mode, row) in modes().into_iter().zip(rows) {
        for (state, due) in STATES.into_iter().zip(row) {
            let name = format!("{} on {state}", mode.as_str());
            let before = in_state(&db, &name, state).await;
            let thread = db.thread(&name);
            let answer = thread.update_content(id("m"), replace("after"), mode.clone()).await;
            let after = the(&thread, "m").await;
            match due {
                Ok(next) => {
                    let updated = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
                    let revision = before.revision.next();
                    assert_eq!((updated.state, updated.revision), (next, revision), "{name}");
                    assert_eq!((after.state, after.revision), (next, revision), "{name}");
                    assert_eq!(after.content.as_json(), r#"[{"type":"text","text":"after"}]"#, "{name}");
                    assert_eq!(after.lease.is_some(), next.is_open(), "{name}");
                }
                Err(kind) => {
                    refused(answer, kind);
                    assert_eq!(after, before, "{name}");
                }
            }
        }
    }
}

async fn not_found(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for mode in modes() {
        let error = refused(thread.update_content(id("m"), append("x"), mode).await, ErrorKind::NotFound);
        assert_eq!(error.message(), Some(&id("m")));
    }
    assert_eq!(everything(&thread).await, []);
}

async fn late_partial(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let streaming = in_state(&db, "t", MessageState::Streaming).await;
    thread.update_content(id("m"), replace("final"), UpdateMode::Final).await.unwrap();
    let settled = the(&thread, "m").await;
    let late = |change, revision: Option<Revision>| {
        let mut late = UpdateContent::new("t".parse().unwrap(), id("m"), change, UpdateMode::Partial);
        late.expected = revision;
        db.run(late)
    };
    // With the revision that the writer saw, with that of the final message, and without one; with content and as a heartbeat.
    for revision in [Some(streaming.revision), Some(settled.revision), None] {
        refused(late(append("late"), revision).await, ErrorKind::Stale);
        refused(late(replace("late"), revision).await, ErrorKind::Stale);
        refused(late(ContentChange::none(), revision).await, ErrorKind::Stale);
    }
    assert_eq!(the(&thread, "m").await, settled);
    // The neighbour: the same partial on a message that is still open.
    in_state(&db, "open", MessageState::Streaming).await;
    let open = db.thread("open");
    open.update_content(id("m"), append("more"), UpdateMode::Partial).await.expect("the message is open");
}

async fn gap(rig: Rig) {
    let db = rig.db().await;
    let before = in_state(&db, "t", MessageState::Streaming).await;
    let with = |revision| {
        let update = UpdateContent::new("t".parse().unwrap(), id("m"), append("x"), UpdateMode::Partial);
        db.run(update.expecting(revision))
    };
    for wrong in [before.revision.get() - 1, before.revision.get() + 1, 0] {
        refused(with(Revision::new(wrong)).await, ErrorKind::Stale);
    }
    assert_eq!(the(&db.thread("t"), "m").await, before);
    assert_eq!(
        with(before.revision).await.expect("the revision that it has").revision,
        before.revision.next()
    );
    refused(with(before.revision).await, ErrorKind::Stale);
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    for mode in modes() {
        let state = if mode == UpdateMode::Edit { MessageState::Final } else { MessageState::Streaming };
        let before = in_state(&db, mode.as_str(), state).await;
        let update = |revision| {
            let thread = mode.as_str().parse().unwrap();
            db.run(UpdateContent::new(thread, id("m"), replace("x"), mode.clone()).expecting(revision))
        };
        refused(update(before.revision.next()).await, ErrorKind::Stale);
        update(before.revision).await.expect("the revision that it has");
    }
}

async fn reason(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let before = in_state(&db, "t", MessageState::Streaming).await;
    let mode = UpdateMode::Abandon { reason: Some("the model\u{0} stopped ✗".to_owned()) };
    thread.update_content(id("m"), ContentChange::none(), mode).await.unwrap();
    let expected = Message {
        state: MessageState::Abandoned,
        revision: before.revision.next(),
        abandon_reason: Some("the model\u{0} stopped ✗".to_owned()),
        lease: None,
        ..before
    };
    assert_eq!(the(&thread, "m").await, expected);
    // The call that abandons a message can carry its last append.
    in_state(&db, "u", MessageState::Streaming).await;
    let mode = UpdateMode::Abandon { reason: Some(String::new()) };
    db.thread("u").update_content(id("m"), append("…"), mode).await.unwrap();
    let after = the(&db.thread("u"), "m").await;
    assert_eq!(after.content.as_json(), r#"["before",{"type":"text","text":"…"}]"#);
    assert_eq!(after.abandon_reason.as_deref(), Some(""));
}

async fn without_reason(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    in_state(&db, "t", MessageState::Reserved).await;
    let mode = UpdateMode::Abandon { reason: None };
    thread.update_content(id("m"), ContentChange::none(), mode).await.unwrap();
    let after = the(&thread, "m").await;
    assert_eq!((after.state, after.abandon_reason.as_deref()), (MessageState::Abandoned, None));
    assert_eq!(after.content.as_json(), "[]");
}

async fn edit(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let message = said("m", "before").with_attachments(["a".parse().unwrap()]);
    let before = thread.add(message).await.unwrap().message;
    thread.add(said("n", "later")).await.unwrap();
    let edited = thread.edit(id("m"), json("[\"after\"]")).await.unwrap();
    assert_eq!((edited.state, edited.revision), (MessageState::Final, Revision::new(2)));
    let expected = Message { revision: Revision::new(2), content: json("[\"after\"]"), ..before };
    assert_eq!(the(&thread, "m").await, expected);
    // An edit may also add to what is there.
    thread.update_content(id("m"), append("!"), UpdateMode::Edit).await.unwrap();
    let after = the(&thread, "m").await;
    assert_eq!(after.content.as_json(), r#"["after",{"type":"text","text":"!"}]"#);
    assert_eq!((after.revision, after.seq), (Revision::new(3), expected.seq));
}
