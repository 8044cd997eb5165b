use throughline_core::{
    ErrorKind, NewMessage, PersistArgs, PersistResult, Seq, TenantId, Timestamp,
    messages::{Add, Batch, Delete},
    threads::{ClearThread, ThreadArgs},
};

use throughline_engine::{EmptySource, Limits, RowKey, Transaction, Write, prefetch};

use crate::store::Store;

fn add(id: &str) -> Add {
    Add::new("t".parse().unwrap(), NewMessage::user("hello").with_id(id.parse().unwrap()))
}

fn delete(id: &str) -> Delete {
    Delete::new("t".parse().unwrap(), id.parse().unwrap())
}

#[test]
fn a_refused_batch_leaves_nothing_of_its_items() {
    let mut store = Store::default();
    let clear: ThreadArgs = ClearThread::new("t".parse().unwrap()).into();
    let batch = Batch::new().with(add("a")).with(delete("a")).with(clear).with(delete("never"));
    assert_eq!(store.apply(batch), Err(ErrorKind::NotFound));
    assert!(store.threads.is_empty() && store.messages.is_empty());
    assert_eq!(store.positions, 0);
}

#[test]
fn a_refused_write_leaves_those_before_it_in_the_transaction() {
    let mut store = Store::default();
    let answers = store.commit(&[add("a").into(), add("a").into(), add("b").into()], None);
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((store.messages.len(), store.positions), (2, 2));
}

#[test]
fn the_items_of_a_batch_see_each_other() {
    let mut store = Store::default();
    let batch = Batch::new().with(add("a")).with(delete("a")).with(add("a"));
    assert_eq!(store.apply(batch), Err(ErrorKind::Gone));
    let PersistResult::Batch(batched) = store.result(Batch::new().with(add("b")).with(add("c"))) else {
        panic!("another answer")
    };
    assert_eq!(batched.outputs.len(), 2);
    let seqs: Vec<_> = store.messages.values().filter_map(|row| row.seq).map(Seq::get).collect();
    assert!(seqs.contains(&1) && seqs.contains(&2));
}

#[test]
fn the_content_of_a_message_that_is_deleted_in_its_transaction_is_not_written() {
    let mut store = Store::default();
    store.result(Batch::new().with(add("a")).with(add("b")).with(delete("a")));
    let left: Vec<_> = store.contents.keys().map(|key| key.id.as_str()).collect();
    assert_eq!(left, ["b"]);
}

#[test]
fn a_stopped_write_is_undone_and_decided_again() {
    let mut late = Store { loads_late: true, ..Store::default() };
    let mut store = Store::default();
    for write in [add("a").into(), add("b").into(), Batch::new().with(add("c")).with(delete("b")).into()] {
        let write: PersistArgs = write;
        assert_eq!(late.apply(write.clone()), store.apply(write));
    }
    assert_eq!(late.apply(delete("b")), Err(ErrorKind::NotFound));
    assert!(late.round_trips > 0);
    assert_eq!(late.messages, store.messages);
    assert_eq!(late.threads, store.threads);
    assert_eq!(late.events, store.events);
}

#[test]
fn the_id_of_a_tombstone_cannot_be_used_again() {
    let mut store = Store::default();
    store.result(add("a"));
    store.result(delete("a"));
    assert_eq!(store.apply(add("a")), Err(ErrorKind::Gone));
    let row = store.messages.values().next().unwrap();
    assert!(row.is_tombstone() && row.metadata.is_empty());
}

#[test]
fn an_applied_write_can_be_undone_until_the_next_one() {
    let tenant = TenantId::default();
    let mut transaction = Transaction::new(EmptySource, Limits::default());
    let args = ["a", "b", "c"].map(|id| PersistArgs::from(add(id)));
    let write = |args| Write { tenant: &tenant, args, idempotency: None, now: Timestamp::from_micros(0) };
    transaction.apply(&write(&args[0])).unwrap();
    transaction.apply(&write(&args[1])).unwrap();
    transaction.undo();
    transaction.apply(&write(&args[2])).unwrap();
    let mut ids: Vec<_> = transaction.staged().messages.added().map(|(key, _)| key.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(transaction.staged().events.len(), 2);
    let last = transaction.staged().threads.added().next().unwrap().1.last_seq;
    assert_eq!(last, Seq::new(2));
}

#[test]
fn prefetch_names_the_rows_of_every_item() {
    let batch = PersistArgs::from(Batch::new().with(add("a")).with(delete("b")));
    let tenant = TenantId::default();
    let write = Write { tenant: &tenant, args: &batch, idempotency: None, now: Timestamp::from_micros(0) };
    let (mut threads, mut messages) = (0, Vec::new());
    prefetch(&write, |row| match row {
        RowKey::Thread(_) => threads += 1,
        RowKey::Message(key) => messages.push(key.id.to_string()),
        other => panic!("{other:?}"),
    });
    assert_eq!((threads, messages), (2, vec!["a".to_owned(), "b".to_owned()]));
}
