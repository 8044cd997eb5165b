//! The index of metadata in an ordered store: it is built in steps, dropped in steps, and kept by every write.

use std::{cell::Cell, collections::BTreeMap};

use throughline_core::{
    BoxError, ErrorKind, IndexedMetadata, Metadata, MetadataPatch, NewMessage, PersistArgs, ReadArgs,
    ReadResult, Result, TenantId, Timestamp,
    messages::{Add, Delete, FindMessages, FindOrder, FoundMessages, Update},
    threads::{ClearThread, ThreadArgs},
};
use throughline_engine::{
    Limits, Transaction, Write,
    ordered::{Entries, OrderedRead, OrderedRows, OrderedWrite},
};

/// A store that counts its look-ups, and whose host declares some fields.
#[derive(Default)]
struct Store {
    map: BTreeMap<String, String>,
    indexed: IndexedMetadata,
    looked_up: Cell<usize>,
}

impl OrderedRead for Store {
    fn get(&self, key: &str) -> Result<Option<String>, BoxError> {
        self.looked_up.set(self.looked_up.get() + 1);
        Ok(self.map.get(key).cloned())
    }

    fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError> {
        let entries = self.map.range(from.to_owned()..to.to_owned());
        Ok(Box::new(entries.map(|(key, value)| {
            self.looked_up.set(self.looked_up.get() + 1);
            Ok((key.clone(), value.clone()))
        })))
    }
}

impl OrderedWrite for Store {
    fn insert(&mut self, key: &str, value: &str) -> Result<(), BoxError> {
        self.map.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), BoxError> {
        self.map.remove(key);
        Ok(())
    }
}

impl Store {
    fn rows(&self) -> OrderedRows<&Self> {
        OrderedRows::new(self).with_indexed_metadata(self.indexed.clone())
    }

    /// Opens the store with other fields.
    fn declare(&mut self, names: &[&str]) {
        self.indexed = IndexedMetadata::new(names.iter().copied()).unwrap();
        if let Some(changes) = self.rows().declare_metadata().unwrap() {
            changes.write(self).unwrap();
        }
    }

    /// Makes a step of the work on the indexes. Returns whether there was one.
    fn step(&mut self, limit: usize) -> bool {
        let Some(changes) = self.rows().index_step(limit).unwrap() else { return false };
        changes.write(self).unwrap();
        true
    }

    fn apply(&mut self, at: i64, args: impl Into<PersistArgs>) {
        let (tenant, now) = (TenantId::default(), Timestamp::from_micros(at));
        let mut transaction =
            Transaction::new(self.rows(), Limits::default()).with_indexed_metadata(self.indexed.clone());
        let write = Write { tenant: &tenant, args: &args.into(), idempotency: None, now };
        transaction.apply(&write).map_err(|halt| halt.to_string()).unwrap();
        let (rows, staged) = transaction.into_parts();
        let changes = rows.changes(&staged).unwrap();
        changes.write(self).unwrap();
    }

    fn add(&mut self, at: i64, id: &str, kind: &str) {
        let mut metadata = Metadata::new();
        metadata.set("kind", kind).unwrap();
        metadata.set("n", &at).unwrap();
        let message = NewMessage::user("x").with_id(id.parse().unwrap()).with_metadata(metadata);
        self.apply(at, Add::new("t".parse().unwrap(), message));
    }

    fn find(&self, find: FindMessages) -> Result<FoundMessages> {
        let read = ReadArgs::Find(find);
        match self.rows().read(&TenantId::default(), &read, Timestamp::from_micros(0))? {
            ReadResult::Find(found) => Ok(found),
            other => panic!("an answer to {}", other.as_str()),
        }
    }

    fn found(&self, kind: &str) -> Vec<String> {
        let page = self.find(FindMessages::new("kind", kind, 100).ordered(FindOrder::OldestFirst)).unwrap();
        page.messages.iter().map(|message| message.id.to_string()).collect()
    }

    fn entries(&self) -> usize {
        self.map.keys().filter(|key| key.starts_with("find")).count()
    }
}

#[test]
fn a_new_index_is_built_in_steps_and_answers_when_it_is_complete() {
    let mut store = Store::default();
    for n in 0..5 {
        store.add(n, &format!("m{n}"), "tool");
    }
    assert_eq!(store.entries(), 0);
    store.declare(&["kind"]);
    assert_eq!(store.find(FindMessages::new("kind", "tool", 9)).unwrap_err().kind(), ErrorKind::Busy);
    assert!(store.step(2));
    // Writes come between the steps, to messages that the build has added, and to others.
    store.apply(
        9,
        Update::new(
            "t".parse().unwrap(),
            "m0".parse().unwrap(),
            MetadataPatch::new().set("kind", "other").unwrap(),
        ),
    );
    store.apply(9, Delete::new("t".parse().unwrap(), "m1".parse().unwrap()));
    store.apply(9, Delete::new("t".parse().unwrap(), "m4".parse().unwrap()));
    store.add(10, "late", "tool");
    assert_eq!(store.find(FindMessages::new("kind", "tool", 9)).unwrap_err().kind(), ErrorKind::Busy);
    while store.step(2) {}
    assert_eq!(
        (store.found("tool"), store.found("other")),
        (vec!["m2".into(), "m3".into(), "late".into()], vec!["m0".into()])
    );
    assert_eq!(store.entries(), 8);
    store.declare(&["kind"]);
    assert!(!store.step(2), "the index is complete");
}

#[test]
fn a_dropped_index_is_removed_in_steps_and_built_again_when_it_is_declared_again() {
    let mut store = Store::default();
    store.declare(&["kind", "n"]);
    while store.step(9) {}
    for n in 0..4 {
        store.add(n, &format!("m{n}"), "tool");
    }
    assert_eq!(store.entries(), 16);
    store.declare(&["n"]);
    let refused = store.find(FindMessages::new("kind", "tool", 9)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.detail().contains("`kind`") && refused.detail().contains("indexed: n"), "{refused}");
    assert!(store.step(3));
    assert!(store.entries() > 8);
    // Nothing keeps the index of the field meanwhile.
    store.add(4, "between", "tool");
    store.declare(&["kind", "n"]);
    while store.step(3) {}
    assert_eq!(store.found("tool"), ["m0", "m1", "m2", "m3", "between"]);
    assert_eq!(store.find(FindMessages::new("n", 3_i64, 9)).unwrap().messages.len(), 1);
    assert_eq!(store.entries(), 20);
}

#[test]
fn a_find_costs_its_page_and_not_the_store() {
    let cost = |messages: i64| {
        let mut store = Store::default();
        store.declare(&["kind"]);
        while store.step(9) {}
        for n in 0..messages {
            store.add(n, &format!("m{n}"), ["tool", "other"][usize::from(n % 2 == 1)]);
        }
        let mut costs = Vec::new();
        for find in [
            FindMessages::new("kind", "tool", 5),
            FindMessages::new("kind", "tool", 5).ordered(FindOrder::OldestFirst),
            FindMessages::new("kind", "tool", 5).in_thread("t".parse().unwrap()),
        ] {
            store.looked_up.set(0);
            assert_eq!(store.find(find).unwrap().messages.len(), 5);
            costs.push(store.looked_up.get());
        }
        costs
    };
    assert_eq!(cost(20), cost(400));
}

#[test]
fn a_store_without_declared_fields_looks_nothing_up_for_them() {
    let write = |names: &[&str]| {
        let mut store = Store::default();
        store.declare(names);
        while store.step(9) {}
        store.add(1, "a", "tool");
        store.looked_up.set(0);
        store.add(2, "b", "tool");
        store.looked_up.get()
    };
    assert_eq!(write(&[]) + 1, write(&["kind"]), "one look-up of the earlier entries of the message");
}

#[test]
fn messages_of_a_cleared_thread_are_skipped_before_their_purge() {
    let mut store = Store::default();
    store.declare(&["kind"]);
    while store.step(9) {}
    for n in 0..3 {
        store.add(n, &format!("m{n}"), "tool");
    }
    store.apply(5, ThreadArgs::from(ClearThread::new("t".parse().unwrap())));
    assert_eq!((store.found("tool"), store.entries()), (vec![], 6));
    store.add(6, "again", "tool");
    assert_eq!(store.found("tool"), ["again"]);
}
