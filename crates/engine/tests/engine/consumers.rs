use throughline_core::{
    ErrorKind, PersistArgs, PersistResult, Position,
    changes::{ConsumerArgs, ConsumerResult, MoveCursor, QuarantineChange, ReleaseChange, ResetCursor},
};

use crate::store::Store;

fn quarantine(at: u64) -> PersistArgs {
    let (consumer, thread) = ("index".parse().unwrap(), "t".parse().unwrap());
    ConsumerArgs::from(QuarantineChange {
        consumer,
        position: Position::new(at),
        thread,
        why: "why".to_owned(),
    })
    .into()
}

fn move_to(at: u64) -> PersistArgs {
    ConsumerArgs::from(MoveCursor::new("index".parse().unwrap(), Position::new(at))).into()
}

fn reset_to(at: u64) -> PersistArgs {
    ConsumerArgs::from(ResetCursor::new("index".parse().unwrap(), Position::new(at))).into()
}

fn release(at: u64) -> PersistArgs {
    ConsumerArgs::from(ReleaseChange { consumer: "index".parse().unwrap(), position: Position::new(at) })
        .into()
}

fn was_listed(answer: &crate::store::Refused) -> bool {
    match &answer.as_ref().unwrap().result {
        PersistResult::Consumer(ConsumerResult::Release(released)) => released.was_listed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_move_leaves_no_consumer() {
    let mut store = Store::default();
    store.result(move_to(5));
    assert_eq!(store.apply(move_to(4)), Err(ErrorKind::Stale));
    assert!(!store.apply(move_to(5)).unwrap().changed);
    assert_eq!((store.positions, store.events.len()), (1, 0));
}

#[test]
fn a_reset_takes_later_changes_off_the_list() {
    for together in [false, true] {
        let mut store = Store::default();
        let writes = [quarantine(3), quarantine(7), reset_to(5), quarantine(8), release(7), release(3)];
        let answers = if together {
            store.commit(&writes, None)
        } else {
            writes.into_iter().map(|write| store.apply(write)).collect()
        };
        assert!(!was_listed(&answers[4]), "it was taken off by the reset");
        assert!(was_listed(&answers[5]));
        let left: Vec<_> = store.quarantine.keys().map(|key| key.position.get()).collect();
        assert_eq!(left, [8], "together: {together}");
    }
}

#[test]
fn a_change_that_is_quarantined_again_and_released_in_one_transaction_is_off_the_list() {
    let mut store = Store::default();
    store.result(quarantine(3));
    let answers = store.commit(&[quarantine(3), release(3)], None);
    assert!(was_listed(&answers[1]));
    assert!(store.quarantine.is_empty());
}

#[test]
fn a_full_quarantine_refuses_changes_in_one_transaction_as_in_several() {
    const MOST: u64 = QuarantineChange::MAX_CHANGES;
    for together in [false, true] {
        let mut store = Store::default();
        let mut writes: Vec<_> = (1..=MOST).map(quarantine).collect();
        writes.extend([quarantine(MOST + 1), quarantine(3), release(3), quarantine(MOST + 2)]);
        writes.extend([quarantine(MOST + 3), reset_to(10), quarantine(500), quarantine(501)]);
        let answers: Vec<_> = if together {
            store.commit(&writes, None)
        } else {
            writes.into_iter().map(|write| store.apply(write)).collect()
        };
        let full: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.is_err()).collect();
        let at = |at: u64| usize::try_from(at).unwrap();
        let refused: Vec<_> = full.iter().map(|(at, answer)| (*at, answer.as_ref().unwrap_err())).collect();
        let kind = &ErrorKind::TooLarge;
        assert_eq!(refused, [(at(MOST), kind), (at(MOST + 4), kind)], "together: {together}");
        let left: Vec<_> = store.quarantine.keys().map(|key| key.position.get()).collect();
        assert_eq!(left, [1, 2, 4, 5, 6, 7, 8, 9, 10, 500, 501], "together: {together}");
    }
}

#[test]
fn a_damaged_row_of_the_list_is_released() {
    let mut store = Store::default();
    store.result(quarantine(3));
    let key = store.quarantine.keys().next().unwrap().clone();
    store.damage(&key);
    assert!(was_listed(&store.apply(release(3))));
    assert!(store.quarantine.is_empty());
}

#[test]
fn a_consumer_with_a_damaged_cursor_quarantines_and_keeps_the_cursor() {
    let mut store = Store::default();
    store.result(move_to(5));
    let key = store.consumers.keys().next().unwrap().clone();
    store.damage(&key);
    assert!(store.apply(quarantine(7)).is_ok());
    assert_eq!((store.quarantine.len(), store.consumers[&key].position.get()), (1, 5));
    assert_eq!(store.apply(move_to(6)), Err(ErrorKind::Corrupt));
}
