use throughline_core::{
    ErrorKind, Idempotency, MetadataPatch, NewMessage, PersistResult,
    messages::{Add, Delete, Update},
    operations::Fingerprint,
};

use crate::store::Store;

fn key(fingerprint: u8) -> Idempotency {
    Idempotency { key: "once".parse().unwrap(), fingerprint: Fingerprint::from_bytes([fingerprint; 32]) }
}

fn add() -> Add {
    Add::new("t".parse().unwrap(), NewMessage::user("hello").with_id("m".parse().unwrap()))
}

#[test]
fn the_same_key_replays_the_first_answer() {
    for loads_late in [false, true] {
        let mut store = Store { loads_late, ..Store::default() };
        let first = store.apply_with(add(), Some(&key(1))).unwrap();
        let again = store.apply_with(add(), Some(&key(1))).unwrap();
        assert!(first.changed && !again.changed);
        let (PersistResult::Add(first), PersistResult::Add(again)) = (first.result, again.result) else {
            panic!("other answers")
        };
        assert_eq!(first.message, again.message);
        assert!(again.deduplicated);
        assert_eq!(store.positions, 1);
    }
}

#[test]
fn a_key_of_another_call_is_a_conflict() {
    let mut store = Store::default();
    store.apply_with(add(), Some(&key(1))).unwrap();
    assert_eq!(store.apply_with(add(), Some(&key(2))), Err(ErrorKind::Conflict));
}

#[test]
fn a_refused_call_does_not_use_its_key() {
    let mut store = Store::default();
    store.result(add());
    assert_eq!(store.apply_with(add(), Some(&key(1))), Err(ErrorKind::AlreadyExists));
    let delete = Delete::new("t".parse().unwrap(), "m".parse().unwrap());
    assert!(store.apply_with(delete, Some(&key(2))).unwrap().changed);
}

#[test]
fn the_replay_of_a_patch_reads_the_message_and_is_gone_with_it() {
    let mut store = Store { loads_late: true, ..Store::default() };
    store.result(add());
    let patch = Update::new("t".parse().unwrap(), "m".parse().unwrap(), MetadataPatch::new());
    store.apply_with(patch.clone(), Some(&key(1))).unwrap();
    assert!(!store.apply_with(patch.clone(), Some(&key(1))).unwrap().changed);
    store.result(Delete::new("t".parse().unwrap(), "m".parse().unwrap()));
    assert_eq!(store.apply_with(patch, Some(&key(1))), Err(ErrorKind::Gone));
}
