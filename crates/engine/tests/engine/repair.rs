use throughline_core::{
    Content, ErrorKind, NewMessage, PersistResult, Role, Seq, Timestamp,
    messages::{Add, ContentChange, Delete, Import, ImportRow, ImportedRow, UpdateContent, UpdateMode},
    threads::{Generation, PruneThread, RebuildThread, ThreadArgs, ThreadResult},
};
use throughline_engine::rows::MessageKey;

use crate::store::Store;

fn with_damage() -> (Store, MessageKey) {
    let mut store = Store::default();
    for (id, text) in [("a", "first"), ("b", "second")] {
        let message = NewMessage::user(text).with_id(id.parse().unwrap());
        store.result(Add::new("t".parse().unwrap(), message));
    }
    let key = store.messages.keys().find(|key| key.id.as_str() == "b").unwrap().clone();
    store.damaged.insert(key.clone());
    (store, key)
}

fn copy() -> ImportRow {
    ImportRow::new("b".parse().unwrap(), Role::User, Content::text("the copy"), Timestamp::from_micros(3))
}

fn preview(store: &Store) -> (u64, Option<String>) {
    let counters = &store.threads.values().next().unwrap().summary.as_ref().unwrap().counters;
    (counters.messages, counters.preview.clone())
}

#[test]
fn a_damaged_message_is_deleted_and_the_thread_counted_again() {
    let (mut store, key) = with_damage();
    let (thread, id) = (key.thread.thread.clone(), key.id.clone());
    assert_eq!(store.apply(Delete::new(thread.clone(), id.clone())), Err(ErrorKind::Corrupt));
    assert_eq!(store.apply(Delete::damaged(thread.clone(), "a".parse().unwrap())), Err(ErrorKind::Conflict));
    let PersistResult::Delete(deleted) = store.result(Delete::damaged(thread.clone(), id.clone())) else {
        panic!("another answer")
    };
    assert_eq!(deleted.seq.get(), 2);
    assert!(store.messages[&key].is_tombstone());
    assert_eq!(preview(&store), (1, Some("first".to_owned())));
    store.damaged.clear();
    let again = Add::new(thread, NewMessage::user("again").with_id(id));
    assert_eq!(store.apply(again), Err(ErrorKind::Gone));
}

#[test]
fn a_copy_restores_a_damaged_message_with_its_sequence_number() {
    let (mut store, key) = with_damage();
    let thread = key.thread.thread.clone();
    assert_eq!(store.apply(Import::new(thread.clone(), vec![copy()])), Err(ErrorKind::Corrupt));
    let PersistResult::Import(imported) = store.result(Import::restoring(thread.clone(), vec![copy()]))
    else {
        panic!("another answer")
    };
    assert!(matches!(imported.rows[..], [ImportedRow::Restored(seq)] if seq.get() == 2));
    assert_eq!(store.messages[&key].revision.get(), 1);
    store.damaged.clear();
    let PersistResult::Import(imported) = store.result(Import::restoring(thread, vec![copy()])) else {
        panic!("another answer")
    };
    assert!(matches!(imported.rows[..], [ImportedRow::Present(_)]));
}

#[test]
fn each_repair_and_each_replacement_after_it_is_another_replacement_of_the_content() {
    let (mut store, key) = with_damage();
    let (thread, id) = (key.thread.thread.clone(), key.id.clone());
    let mut seen = vec![store.messages[&key].replaced.get()];
    for round in 0..3 {
        store.damaged.insert(key.clone());
        store.result(Import::restoring(thread.clone(), vec![copy()]));
        store.damaged.clear();
        assert_eq!(store.messages[&key].revision.get(), 1, "{round}");
        seen.push(store.messages[&key].replaced.get());
        for _ in 0..round {
            let edit = ContentChange::Replace(Content::text("an edit"));
            store.result(UpdateContent::new(thread.clone(), id.clone(), edit, UpdateMode::Edit));
            seen.push(store.messages[&key].replaced.get());
        }
    }
    assert_eq!(seen, [0, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_rebuild_counts_what_can_be_read() {
    let (mut store, _) = with_damage();
    store.threads.values_mut().for_each(|row| row.summary = None);
    let rebuild = || ThreadArgs::from(RebuildThread { thread: "t".parse().unwrap() });
    store.result(rebuild());
    assert_eq!(preview(&store), (1, Some("first".to_owned())));
    assert!(store.threads.values().all(|row| row.summary.as_ref().unwrap().has_begun));
}

#[test]
fn the_damaged_content_of_a_question_does_not_hide_the_one_before_it() {
    let (mut store, key) = with_damage();
    store.damaged.clear();
    let thread = key.thread.thread.clone();
    for id in ["c", "d"] {
        store.result(Add::new(thread.clone(), NewMessage::user(id).with_id(id.parse().unwrap())));
    }
    for id in ["b", "c"] {
        store.damage(&("content", MessageKey { id: id.parse().unwrap(), ..key.clone() }));
    }
    store.result(Delete::new(thread.clone(), "d".parse().unwrap()));
    assert_eq!(preview(&store), (3, Some("first".to_owned())));
    store.result(ThreadArgs::from(RebuildThread { thread: thread.clone() }));
    assert_eq!(preview(&store), (3, Some("first".to_owned())), "a deletion takes out what is counted");
    for id in ["a", "b", "c"] {
        store.result(Delete::new(thread.clone(), id.parse().unwrap()));
    }
    let counters = &store.threads.values().next().unwrap().summary.as_ref().unwrap().counters;
    assert_eq!((counters.messages, counters.turns, counters.bytes, &counters.preview), (0, 0, 0, &None));
}

#[test]
fn a_prune_is_not_refused_for_a_damaged_row_behind_its_limit() {
    let (mut store, key) = with_damage();
    let thread = &key.thread.thread;
    let prune = || {
        let (through, generation) = (Seq::new(9), Generation::FIRST);
        ThreadArgs::from(PruneThread { thread: thread.clone(), through, generation, limit: 1 })
    };
    match store.result(prune()) {
        PersistResult::Thread(ThreadResult::Prune(pruned)) => {
            assert_eq!((pruned.messages, pruned.more), (1, true));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.apply(prune()), Err(ErrorKind::Corrupt));
}
