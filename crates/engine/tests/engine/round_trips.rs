use throughline_core::{
    Content, NewMessage, NewThread, PersistArgs, Role, ThreadId, Timestamp,
    messages::{Add, Batch, Delete, Import, ImportRow, UpdateContent, UpdateMode},
    threads::{CreateThread, DeleteThread, PurgeThread, RebuildThread, ThreadArgs},
};

use crate::store::Store;

fn add(id: &str) -> Add {
    Add::new("t".parse().unwrap(), NewMessage::user(id).with_id(id.parse().unwrap()))
}

/// The round trips of one write.
fn round_trips(store: &mut Store, write: impl Into<PersistArgs>) -> usize {
    store.loads_late = true;
    store.round_trips = 0;
    store.result(write);
    store.round_trips
}

#[test]
fn each_deletion_of_a_batch_of_threads_takes_one_round_trip() {
    let threads = || (0..12).map(|n| format!("t{n}").parse::<ThreadId>().unwrap());
    let mut store = Store::default();
    for thread in threads() {
        store.result(ThreadArgs::from(CreateThread::new(NewThread::new().with_id(thread))));
    }
    let batch =
        threads().fold(Batch::new(), |batch, thread| batch.with(ThreadArgs::from(DeleteThread { thread })));
    let round_trips = round_trips(&mut store, batch);
    assert!(round_trips <= 13, "{round_trips}");
    assert!(store.threads.values().all(|row| row.deleted));
}

#[test]
fn a_batch_of_purges_and_rebuilds_ends_over_rows_that_are_handed_out_once() {
    let threads = || (0..8).map(|n| format!("t{n}").parse::<ThreadId>().unwrap());
    let mut store = Store::default();
    for thread in threads() {
        store.result(Add::new(thread.clone(), NewMessage::user("x")));
        store.result(ThreadArgs::from(throughline_core::threads::ClearThread::new(thread)));
    }
    store.threads.values_mut().for_each(|row| row.summary = None);
    let batch = threads().fold(Batch::new(), |batch, thread| {
        let rebuild = RebuildThread { thread: thread.clone() };
        batch.with(ThreadArgs::from(rebuild)).with(ThreadArgs::from(PurgeThread { thread, limit: 9 }))
    });
    let round_trips = round_trips(&mut store, batch);
    assert!(round_trips <= 8 * 4 + 1, "{round_trips}");
}

#[test]
fn an_import_into_a_new_thread_looks_up_every_row_in_one_round_trip() {
    let row = |n: u32| {
        let (id, content) = (format!("m{n}").parse().unwrap(), Content::text("x"));
        ImportRow::new(id, Role::User, content, Timestamp::from_micros(n.into()))
    };
    let import = Import::new("t".parse().unwrap(), (0..20).map(row).collect());
    let mut store = Store::default();
    assert_eq!(round_trips(&mut store, import), 2, "the thread, then the messages");
    assert_eq!(store.messages.len(), 20);
}

#[test]
fn deletions_of_the_latest_questions_load_ranges_and_contents_in_doubling_steps() {
    let mut store = Store::default();
    for n in 0..40 {
        store.result(add(&format!("m{n}")));
    }
    let last_32 = (8..40).rev().map(|n| format!("m{n}").parse().unwrap());
    let batch = last_32.fold(Batch::new(), |batch, id| batch.with(Delete::new("t".parse().unwrap(), id)));
    let round_trips = round_trips(&mut store, batch);
    assert!(round_trips <= 16, "{round_trips}");
    let counters = &store.threads.values().next().unwrap().summary.as_ref().unwrap().counters;
    assert_eq!((counters.messages, counters.preview.as_deref()), (8, Some("m7")));
}

#[test]
fn a_rebuild_loads_the_content_of_the_latest_question_alone() {
    let mut store = Store::default();
    for n in 0..5 {
        store.result(add(&format!("m{n}")));
    }
    let before = store.threads.clone();
    store.result(ThreadArgs::from(RebuildThread { thread: "t".parse().unwrap() }));
    assert_eq!(store.content_loads, 1);
    assert_eq!(store.threads, before);
}

#[test]
fn the_content_of_a_message_that_is_replaced_at_its_end_is_not_loaded() {
    let mut store = Store::default();
    let reserve = throughline_core::NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    store.result(throughline_core::messages::Reserve::new("t".parse().unwrap(), reserve));
    let replace = throughline_core::messages::ContentChange::Replace(Content::text("all of it"));
    let end =
        UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), replace, UpdateMode::Final).into();
    let (tenant, now) = (throughline_core::TenantId::default(), Timestamp::from_micros(0));
    let write = throughline_engine::Write { tenant: &tenant, args: &end, idempotency: None, now };
    throughline_engine::prefetch(&write, |row| {
        assert!(!matches!(row, throughline_engine::RowKey::Content(_)), "{row:?}");
    });
    store.result(end);
    assert_eq!(store.content_loads, 0);
}
