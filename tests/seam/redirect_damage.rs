//! Law 12 over the two stores of a redirect: what is damaged on either side is told of, and hides nothing else.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use throughline::{
    Builder, Effect, ErrorKind, Message, NewMessage, NewReservation, NewThread, PersistArgs, Persistence,
    Role, TenantId, ThreadId, Timestamp,
    messages::{Import, ImportRow, ImportedRow, ListOpen, PageFrom, Reserve, Visibility},
    redirect::{redirect, redirect_messages},
    sqlite::SqliteBackend,
};

use crate::said;

const HERE: &str = "here.db";
const THERE: &str = "there.db";
const HOUR: i64 = 3_600_000_000;

type Clock = Arc<AtomicI64>;

fn timed(clock: &Clock) -> Builder {
    let clock = Arc::clone(clock);
    Persistence::builder().clock(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
}

async fn store(folder: &Path, file: &str) -> SqliteBackend {
    SqliteBackend::open(folder.join(file)).await.unwrap()
}

/// As a disk does it.
fn damage(folder: &Path, file: &str, thread: &str, seq: i64) {
    let store = rusqlite::Connection::open(folder.join(file)).unwrap();
    let of_thread = "thread_pk = (SELECT thread_pk FROM threads WHERE thread = ?1)";
    let sql = format!("UPDATE messages SET role = 'system' WHERE seq = ?2 AND {of_thread}");
    assert_eq!(store.execute(&sql, rusqlite::params![thread, seq]).unwrap(), 1);
}

async fn reserve(db: &Persistence, thread: &str) {
    let reservation = NewReservation::new(Role::Assistant);
    db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
}

/// Three open messages on each side, the first of each damaged.
async fn by_thread(folder: &Path, clock: &Clock) -> Persistence {
    let there = timed(clock).backend(store(folder, THERE).await).build().unwrap();
    let rule = |_: &TenantId, thread: &ThreadId| thread.as_str().starts_with("there:");
    let db = timed(clock)
        .layer(redirect("split", rule, there))
        .backend(store(folder, HERE).await)
        .build()
        .unwrap();
    for thread in ["a", "a", "z", "there:1", "there:1", "there:2"] {
        reserve(&db, thread).await;
    }
    damage(folder, HERE, "a", 1);
    damage(folder, THERE, "there:1", 1);
    db
}

const SOUND: [(&str, u64); 4] = [("a", 2), ("there:1", 2), ("there:2", 1), ("z", 1)];
const DAMAGED: [(&str, u64); 2] = [("a", 1), ("there:1", 1)];

#[tokio::test]
async fn open_messages_are_told_of_once_page_by_page_the_damaged_ones_of_both_sides_too() {
    let folder = tempfile::tempdir().unwrap();
    let db = by_thread(folder.path(), &Clock::default()).await;
    for limit in 1..=7 {
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        let mut list = ListOpen::new(limit);
        loop {
            let page = db.read(list.clone()).await.unwrap();
            assert!(page.messages.len() + page.damaged.len() <= limit as usize, "each counts for the limit");
            sound.extend(page.messages.iter().map(|found| (found.thread.to_string(), found.seq.get())));
            let of_damaged = page.damaged.iter();
            damaged.extend(of_damaged.map(|found| (found.thread.to_string(), found.seq.unwrap().get())));
            let Some(next) = page.next else { break };
            assert!(list.after.as_ref() < Some(&next), "it goes on");
            list.after = Some(next);
        }
        let named = |places: &[(&str, u64)]| -> Vec<(String, u64)> {
            places.iter().map(|(thread, seq)| ((*thread).to_owned(), *seq)).collect()
        };
        assert_eq!((sound, damaged), (named(&SOUND), named(&DAMAGED)), "by {limit}");
    }
}

#[tokio::test]
async fn a_sweep_settles_what_is_sound_on_both_sides_and_tells_of_the_rest() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let db = by_thread(folder.path(), &clock).await;
    clock.store(HOUR, Ordering::SeqCst);
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    let abandoned: Vec<_> = recovered.abandoned.iter().map(|(thread, _)| thread.as_str()).collect();
    assert_eq!(abandoned, ["a", "there:1", "there:2", "z"]);
    let failed: Vec<_> = recovered.failed.iter().map(|error| error.thread().unwrap().as_str()).collect();
    assert_eq!(failed, ["a", "there:1"]);
    let of_edge = (ErrorKind::Corrupt, Effect::NotApplied, "edge");
    assert!(recovered.failed.iter().all(|error| said(error) == of_edge), "{recovered:?}");
    // A walk and a fork tell of it alike.
    let thread = db.thread("b");
    thread.add(NewMessage::user("first")).await.unwrap();
    let last = thread.add(NewMessage::user("last")).await.unwrap().message.id;
    damage(folder.path(), HERE, "b", 1);
    let met = thread.walk(PageFrom::Start, Visibility::All).next().await.unwrap_err();
    let forked = thread.fork(&last, NewThread::new()).await.unwrap_err();
    assert_eq!([said(&met), said(&forked)], [of_edge; 2]);
}

#[tokio::test]
async fn a_message_that_is_damaged_where_it_is_kept_hides_no_other() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let there = timed(&clock).backend(store(folder.path(), THERE).await).build().unwrap();
    let rule = |args: &PersistArgs| matches!(args, PersistArgs::Reserve(_));
    let db = timed(&clock)
        .layer(redirect_messages("vault", rule, there))
        .backend(store(folder.path(), HERE).await)
        .build()
        .unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("question")).await.unwrap();
    for _ in 0..2 {
        reserve(&db, "t").await;
    }
    damage(folder.path(), THERE, "t", 1);
    let open = db.open_reservations(10).await.unwrap();
    let places = |found: &[throughline::Message]| found.iter().map(|m| m.seq.get()).collect::<Vec<_>>();
    assert_eq!(places(&open.messages), [3]);
    assert_eq!(open.damaged[0].seq.map(throughline::Seq::get), Some(2), "its place here");
    for limit in 1..=4 {
        let (mut from, mut sound, mut damaged) = (PageFrom::Start, Vec::new(), 0);
        loop {
            let page = thread.page_showing(from, limit, Visibility::All).await.unwrap();
            sound.extend(places(&page.messages));
            damaged += page.damaged.len();
            let Some(next) = page.next(from) else { break };
            from = next;
        }
        assert_eq!((&sound[..], damaged), (&[1, 3][..], 1), "by {limit}");
    }
    clock.store(HOUR, Ordering::SeqCst);
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert_eq!((recovered.abandoned.len(), recovered.failed.len()), (1, 1));
}

#[tokio::test]
async fn a_damaged_row_of_a_message_that_is_kept_there_is_not_restored_here() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let there = timed(&clock).backend(store(folder.path(), THERE).await).build().unwrap();
    let rule = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::Assistant);
    let db = timed(&clock)
        .layer(redirect_messages("vault", rule, there.clone()))
        .backend(store(folder.path(), HERE).await)
        .build()
        .unwrap();
    let thread = db.thread("t");
    let here = thread.add(NewMessage::user("question")).await.unwrap().message;
    let kept = thread.add(NewMessage::assistant("answer")).await.unwrap().message;
    damage(folder.path(), HERE, "t", 1);
    damage(folder.path(), HERE, "t", 2);
    let restore = |message: &Message| {
        // A backup says it of another role than the rule picks.
        let row = ImportRow { role: Role::User, ..ImportRow::of(message.clone()).unwrap() };
        db.run(Import::restoring("t".parse().unwrap(), vec![row]))
    };
    let error = restore(&kept).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Unsupported, Effect::NotApplied, "vault"));
    assert!(there.thread("t").get(kept.id.clone()).await.unwrap().is_some());
    // The narrow twin: a damaged message of this side is restored.
    let restored = restore(&here).await.unwrap();
    assert_eq!(restored.rows, [ImportedRow::Restored(here.seq)]);
}
