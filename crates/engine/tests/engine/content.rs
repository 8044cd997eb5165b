use throughline_core::{
    Content, Delta, ErrorKind, MessageState, NewMessage, NewReservation, PersistArgs, PersistResult, Role,
    Timestamp,
    changes::ChangeKind,
    messages::{
        Add, Batch, ContentChange, Import, ImportRow, Reserve, TakeLastMessage, UpdateContent, UpdateMode,
    },
    threads::{ThreadArgs, ThreadResult},
};
use throughline_engine::Limits;

use crate::store::Store;

fn reserve(id: &str) -> Reserve {
    Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant).with_id(id.parse().unwrap()))
}

fn change(change: ContentChange, mode: UpdateMode) -> PersistArgs {
    UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, mode).into()
}

fn append(text: &str) -> PersistArgs {
    change(ContentChange::Append(Delta::text(text)), UpdateMode::Partial)
}

fn end(mode: UpdateMode) -> PersistArgs {
    change(ContentChange::none(), mode)
}

fn last_content(store: &mut Store) -> Content {
    let take: ThreadArgs = TakeLastMessage { thread: "t".parse().unwrap(), expected: None }.into();
    match store.result(take) {
        PersistResult::Thread(ThreadResult::TakeLast(taken)) => taken.message.unwrap().content,
        other => panic!("{other:?}"),
    }
}

#[test]
fn appends_of_one_transaction_are_one_chunk() {
    let mut store = Store::default();
    store.result(reserve("m"));
    for answer in store.commit(&["Hel", "lo", "", "!"].map(append), None) {
        assert!(answer.unwrap().changed);
    }
    assert_eq!(store.chunk_rows, 1);
    store.result(append("?"));
    assert_eq!(store.chunk_rows, 2);
    assert_eq!(last_content(&mut store), Content::text("Hello!?"));
}

#[test]
fn a_message_that_ends_in_its_transaction_leaves_no_chunk() {
    let mut store = Store::default();
    let writes = [reserve("m").into(), append("Hel"), append("lo"), end(UpdateMode::Final)];
    assert!(store.commit(&writes, None).iter().all(Result::is_ok));
    assert_eq!(store.chunk_rows, 0);
    assert_eq!(last_content(&mut store), Content::text("Hello"));
}

fn edit(id: &str) -> UpdateContent {
    let change = ContentChange::Append(Delta::text("!"));
    UpdateContent::new("t".parse().unwrap(), id.parse().unwrap(), change, UpdateMode::Edit)
}

/// Adds a message of a little more than `bytes`.
fn add(store: &mut Store, id: &str, bytes: usize) {
    let message = NewMessage::user(&"x".repeat(bytes)).with_id(id.parse().unwrap());
    store.result(Add::new("t".parse().unwrap(), message));
}

/// Returns the content of the only message.
fn whole(store: &Store) -> Content {
    store.contents.values().next().expect("a message").content()
}

/// One-byte edits of a large message: each of them rewrites the whole content.
#[test]
fn a_batch_rewrites_stored_content_up_to_64_mib() {
    let mut store = Store::default();
    add(&mut store, "m", 1 << 20);
    let edits = |count: usize| (0..count).fold(Batch::new(), |batch, _| batch.with(edit("m")));
    assert_eq!(store.apply(edits(64)), Err(ErrorKind::TooLarge));
    let stored = Content::text(&"x".repeat(1 << 20));
    let edited = |count: usize| Content::text(&["x".repeat(1 << 20), "!".repeat(count)].concat());
    assert_eq!(whole(&store), stored, "nothing of the batch is applied");
    store.result(edits(63));
    assert_eq!(whole(&store), edited(63));
    // Each write has the limit for itself.
    let alone = store.commit(&vec![edit("m").into(); 65], None);
    assert!(alone.iter().all(Result::is_ok));
    assert_eq!(last_content(&mut store), edited(63 + 65));
}

#[test]
fn the_first_item_that_rewrites_content_is_accepted_at_any_size() {
    let mut store = Store::default();
    add(&mut store, "m", 65 << 20);
    add(&mut store, "other", 1);
    assert_eq!(store.apply(Batch::new().with(edit("m")).with(edit("other"))), Err(ErrorKind::TooLarge));
    store.result(Batch::new().with(edit("m")));
}

#[test]
fn a_replacement_drops_what_was_appended_before() {
    let mut store = Store::default();
    store.result(reserve("m"));
    store.result(append("old"));
    let base = Content::from_json("[1]").unwrap();
    let replace = change(ContentChange::Replace(base), UpdateMode::Partial);
    store.commit(&[append("older"), replace, append("new")], None);
    // The text before the replacement is never inserted.
    assert_eq!(store.chunk_rows, 3);
    store.result(end(UpdateMode::Final));
    assert_eq!(last_content(&mut store).as_json(), r#"[1,{"type":"text","text":"new"}]"#);
}

#[test]
fn a_heartbeat_takes_a_position_and_emits_nothing() {
    let mut store = Store::default();
    store.result(reserve("m"));
    let (events, positions) = (store.events.len(), store.positions);
    assert!(store.apply(append("")).unwrap().changed);
    assert_eq!((store.events.len(), store.positions), (events, positions + 1));
}

#[test]
fn each_state_refuses_what_it_does_not_allow() {
    let abandon = || UpdateMode::Abandon { reason: None };
    for (ended_by, expected) in [
        (None, [Ok(()), Ok(()), Ok(()), Err(ErrorKind::Conflict)]),
        (
            Some(UpdateMode::Final),
            [Err(ErrorKind::Stale), Err(ErrorKind::Stale), Err(ErrorKind::Stale), Ok(())],
        ),
        (Some(abandon()), [Err(ErrorKind::Stale); 4]),
    ] {
        for (mode, expected) in
            [UpdateMode::Partial, UpdateMode::Final, abandon(), UpdateMode::Edit].into_iter().zip(expected)
        {
            let mut store = Store::default();
            store.result(reserve("m"));
            if let Some(mode) = &ended_by {
                store.result(end(mode.clone()));
            }
            let text = ContentChange::Append(Delta::text("x"));
            let answer = store.apply(change(text, mode.clone())).map(drop);
            assert_eq!(answer, expected, "{mode:?} after {ended_by:?}");
        }
    }
}

#[test]
fn each_end_emits_its_event_and_is_counted() {
    let mut store = Store::default();
    store.result(reserve("m"));
    store.result(append("text"));
    store.result(end(UpdateMode::Final));
    store.result(change(ContentChange::Replace(Content::text("other")), UpdateMode::Edit));
    let names: Vec<_> = store
        .events
        .iter()
        .map(|event| match event {
            ChangeKind::Reserved(_) => "reserved",
            ChangeKind::Written(_) => "written",
            ChangeKind::Finished(_) => "finished",
            ChangeKind::Edited(_) => "edited",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["reserved", "written", "finished", "edited"]);
    let thread = store.threads.values().next().unwrap();
    let counters = &thread.summary.as_ref().unwrap().counters;
    assert_eq!((counters.messages, counters.bytes), (1, Content::text("other").byte_len() as u64));
    let row = store.messages.values().next().unwrap();
    assert_eq!((row.state, row.chunks, row.revision.get()), (MessageState::Final, 0, 4));
}

#[test]
fn the_limit_of_content_holds_for_every_way_in() {
    let mut store = Store { limits: Limits::default().with_max_content_bytes(40), ..Store::default() };
    let long = Content::text("more than forty bytes of JSON");
    assert!(long.byte_len() > 40);
    store.result(reserve("m"));
    let too_large = |answer: crate::store::Refused| assert_eq!(answer.unwrap_err(), ErrorKind::TooLarge);
    too_large(
        store.apply(change(ContentChange::Append(Delta::text("more than forty bytes")), UpdateMode::Partial)),
    );
    too_large(store.apply(change(ContentChange::Replace(long.clone()), UpdateMode::Final)));
    let row = ImportRow::new("i".parse().unwrap(), Role::User, long, Timestamp::from_micros(0));
    too_large(store.apply(Import::new("t".parse().unwrap(), vec![row])));
    assert_eq!(store.events.len(), 1);
}
