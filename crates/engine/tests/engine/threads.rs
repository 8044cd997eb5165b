use throughline_core::{
    ErrorKind, Labels, NewMessage, NewReservation, NewThread, PersistResult, Role, Seq, ThreadId,
    ids::{AttachmentKey, ItemId},
    messages::{Add, Origin, Reserve, ResolveId, ResolvedBy},
    sessions::{ResetSession, SessionArgs},
    threads::{
        ClearThread, CreateThread, DeleteThread, Generation, PruneThread, PurgeThread, Purged, ThreadArgs,
        ThreadResult,
    },
};

use crate::store::Store;

fn thread() -> ThreadId {
    "t".parse().unwrap()
}

fn on_thread(store: &mut Store, args: impl Into<ThreadArgs>) -> ThreadResult {
    match store.result(args.into()) {
        PersistResult::Thread(result) => result,
        other => panic!("{other:?}"),
    }
}

fn purge(store: &mut Store, limit: u32) -> Purged {
    match on_thread(store, PurgeThread { thread: thread(), limit }) {
        ThreadResult::Purge(purged) => purged,
        other => panic!("{other:?}"),
    }
}

fn is_purgeable(store: &Store) -> bool {
    store.threads.values().any(|row| row.purgeable)
}

#[test]
fn the_label_limit_of_a_thread_applies_to_every_operation() {
    let mut labels = Labels::new();
    for n in 0..=Labels::MAX {
        labels.set(format!("l{n}").parse().unwrap(), "x".parse().unwrap());
    }
    let create = CreateThread { labels, ..CreateThread::new(NewThread::new().with_id(thread())) };
    assert_eq!(Store::default().apply(ThreadArgs::from(create)), Err(ErrorKind::TooLarge));
}

#[test]
fn a_cleared_thread_is_purged_step_by_step() {
    let mut store = Store::default();
    for n in 0..3 {
        let message = NewMessage::user("x").with_id(format!("m{n}").parse().unwrap());
        store.result(Add::new(thread(), message));
        let asked = ResolveId::new(thread(), Origin::new().item(ItemId::new(format!("i{n}")).unwrap()));
        on_thread(&mut store, asked);
    }
    on_thread(&mut store, ClearThread::new(thread()));
    assert!(is_purgeable(&store));
    let steps: Vec<_> = (0..3).map(|_| purge(&mut store, 2)).map(|step| (step.messages, step.more)).collect();
    assert_eq!(steps, [(2, true), (1, true), (0, false)], "three aliases are more than a step takes");
    assert!(!is_purgeable(&store));
}

#[test]
fn a_deleted_thread_with_sessions_alone_is_purgeable() {
    let mut store = Store::default();
    let reset = ResetSession { agent: "a".parse().unwrap(), thread: thread(), expected: None };
    store.result(SessionArgs::from(reset));
    on_thread(&mut store, DeleteThread { thread: thread() });
    assert!(is_purgeable(&store));
    assert!(!purge(&mut store, 10).more);
    assert!(!is_purgeable(&store));
}

#[test]
fn a_thread_whose_messages_were_deleted_one_by_one_has_nothing_to_purge() {
    let mut store = Store::default();
    store.result(Add::new(thread(), NewMessage::user("x").with_id("m".parse().unwrap())));
    store.result(throughline_core::messages::Delete::new(thread(), "m".parse().unwrap()));
    on_thread(&mut store, ClearThread::new(thread()));
    assert!(!is_purgeable(&store));
}

#[test]
fn a_prune_stops_at_the_first_open_message() {
    let mut store = Store::default();
    for id in ["a", "b"] {
        store.result(Add::new(thread(), NewMessage::user("x").with_id(id.parse().unwrap())));
    }
    let open = NewReservation::new(Role::Assistant).with_id("open".parse().unwrap());
    store.result(Reserve::new(thread(), open));
    store.result(Add::new(thread(), NewMessage::user("x").with_id("c".parse().unwrap())));
    let generation = throughline_core::threads::Generation::FIRST;
    let prune =
        PruneThread { thread: thread(), through: throughline_core::Seq::new(9), generation, limit: 9 };
    match on_thread(&mut store, prune) {
        ThreadResult::Prune(pruned) => assert_eq!((pruned.messages, pruned.more), (2, false)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_alias_finds_its_message_in_later_calls() {
    for loads_late in [false, true] {
        let mut store = Store { loads_late, ..Store::default() };
        let asked = || ResolveId::new(thread(), Origin::new().item("seg:0".parse().unwrap()));
        let ThreadResult::Resolve(first) = on_thread(&mut store, asked()) else { panic!("another answer") };
        let ThreadResult::Resolve(again) = on_thread(&mut store, asked()) else { panic!("another answer") };
        assert_eq!((first.by, again.by), (ResolvedBy::Fresh, ResolvedBy::Item));
        assert_eq!(first.id, again.id);
    }
}

#[test]
fn a_deleted_thread_refuses_every_write() {
    let mut store = Store::default();
    store.result(Add::new(thread(), NewMessage::user("x")));
    on_thread(&mut store, DeleteThread { thread: thread() });
    assert_eq!(store.apply(Add::new(thread(), NewMessage::user("x"))), Err(ErrorKind::Gone));
    match on_thread(&mut store, DeleteThread { thread: thread() }) {
        ThreadResult::Delete(deleted) => assert!(deleted.already),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_purge_and_a_prune_end_where_the_attachment_names_come_to_the_bytes_of_an_answer() {
    let name = |n: u32| AttachmentKey::new(format!("{n:0>200}")).unwrap();
    let names = || (0..20_000).map(name);
    for prunes in [false, true] {
        let mut store = Store::default();
        for n in 0..3 {
            let message = NewMessage::user("x").with_id(format!("m{n}").parse().unwrap());
            store.result(Add::new(thread(), message.with_attachments(names())));
        }
        let steps: Vec<(u64, bool)> = if prunes {
            let prune = || PruneThread {
                thread: thread(),
                generation: Generation::FIRST,
                through: Seq::new(3),
                limit: 10,
            };
            let step = |store: &mut Store| match on_thread(store, prune()) {
                ThreadResult::Prune(pruned) => (pruned.messages, pruned.more),
                other => panic!("{other:?}"),
            };
            (0..2).map(|_| step(&mut store)).collect()
        } else {
            on_thread(&mut store, ClearThread::new(thread()));
            (0..2).map(|_| purge(&mut store, 10)).map(|step| (step.messages, step.more)).collect()
        };
        assert_eq!(steps, [(2, true), (1, false)], "prunes: {prunes}");
    }
}
