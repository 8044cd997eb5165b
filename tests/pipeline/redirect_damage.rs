//! Law 12 over the two stores of a redirect: reads report damaged messages of both stores, and return all others.

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

use crate::kind_effect_site;

const LOCAL: &str = "here.db";
const TARGET: &str = "target.db";
const HOUR: i64 = 3_600_000_000;

type Clock = Arc<AtomicI64>;

fn timed(clock: &Clock) -> Builder {
    let clock = Arc::clone(clock);
    Persistence::builder().clock(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
}

async fn store(folder: &Path, file: &str) -> SqliteBackend {
    SqliteBackend::open(folder.join(file)).await.unwrap()
}

/// Damages a message in the file.
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

/// Creates three open messages in each store; the first one of each is damaged.
async fn by_thread(folder: &Path, clock: &Clock) -> Persistence {
    let target = timed(clock).backend(store(folder, TARGET).await).build().unwrap();
    let rule = |_: &TenantId, thread: &ThreadId| thread.as_str().starts_with("target:");
    let db = timed(clock)
        .layer(redirect("split", rule, target))
        .backend(store(folder, LOCAL).await)
        .build()
        .unwrap();
    for thread in ["a", "a", "z", "target:1", "target:1", "target:2"] {
        reserve(&db, thread).await;
    }
    damage(folder, LOCAL, "a", 1);
    damage(folder, TARGET, "target:1", 1);
    db
}

const SOUND: [(&str, u64); 4] = [("a", 2), ("target:1", 2), ("target:2", 1), ("z", 1)];
const DAMAGED: [(&str, u64); 2] = [("a", 1), ("target:1", 1)];

#[tokio::test]
async fn the_list_of_open_messages_contains_each_sound_and_each_damaged_message_of_both_stores_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = by_thread(folder.path(), &Clock::default()).await;
    for limit in 1..=7 {
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        let mut list = ListOpen::new(limit);
        loop {
            let page = db.read(list.clone()).await.unwrap();
            assert!(
                page.messages.len() + page.damaged.len() <= limit as usize,
                "damaged messages count for the limit"
            );
            sound.extend(page.messages.iter().map(|found| (found.thread.to_string(), found.seq.get())));
            let of_damaged = page.damaged.iter();
            damaged.extend(of_damaged.map(|found| (found.thread.to_string(), found.seq.unwrap().get())));
            let Some(next) = page.next else { break };
            assert!(list.after.as_ref() < Some(&next), "the cursor advances");
            list.after = Some(next);
        }
        let owned = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|(thread, seq)| ((*thread).to_owned(), *seq)).collect()
        };
        assert_eq!((sound, damaged), (owned(&SOUND), owned(&DAMAGED)), "by {limit}");
    }
}

#[tokio::test]
async fn recovery_settles_sound_messages_of_both_stores_and_reports_damaged_ones() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let db = by_thread(folder.path(), &clock).await;
    clock.store(HOUR, Ordering::SeqCst);
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    let abandoned: Vec<_> = recovered.abandoned.iter().map(|(thread, _)| thread.as_str()).collect();
    assert_eq!(abandoned, ["a", "target:1", "target:2", "z"]);
    let failed: Vec<_> = recovered.failed.iter().map(|error| error.thread().unwrap().as_str()).collect();
    assert_eq!(failed, ["a", "target:1"]);
    let of_edge = (ErrorKind::Corrupt, Effect::NotApplied, "edge");
    assert!(recovered.failed.iter().all(|error| kind_effect_site(error) == of_edge), "{recovered:?}");
    // A walk and a fork report it in the same way.
    let thread = db.thread("b");
    thread.add(NewMessage::user("first")).await.unwrap();
    let last = thread.add(NewMessage::user("last")).await.unwrap().message.id;
    damage(folder.path(), LOCAL, "b", 1);
    let walked = thread.walk(PageFrom::Start, Visibility::All).next().await.unwrap_err();
    let forked = thread.fork(&last, NewThread::new()).await.unwrap_err();
    assert_eq!([kind_effect_site(&walked), kind_effect_site(&forked)], [of_edge; 2]);
}

#[tokio::test]
async fn a_damaged_message_in_the_target_hides_no_other_message() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let target = timed(&clock).backend(store(folder.path(), TARGET).await).build().unwrap();
    let rule = |args: &PersistArgs| matches!(args, PersistArgs::Reserve(_));
    let db = timed(&clock)
        .layer(redirect_messages("vault", rule, target))
        .backend(store(folder.path(), LOCAL).await)
        .build()
        .unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("question")).await.unwrap();
    for _ in 0..2 {
        reserve(&db, "t").await;
    }
    damage(folder.path(), TARGET, "t", 1);
    let open = db.open_reservations(10).await.unwrap();
    let seqs = |found: &[throughline::Message]| found.iter().map(|m| m.seq.get()).collect::<Vec<_>>();
    assert_eq!(seqs(&open.messages), [3]);
    assert_eq!(
        open.damaged[0].seq.map(throughline::Seq::get),
        Some(2),
        "its sequence number in the local store"
    );
    for limit in 1..=4 {
        let (mut from, mut sound, mut damaged) = (PageFrom::Start, Vec::new(), 0);
        loop {
            let page = thread.page_showing(from, limit, Visibility::All).await.unwrap();
            sound.extend(seqs(&page.messages));
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
async fn a_redirected_message_is_not_restored_into_the_local_store() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let target = timed(&clock).backend(store(folder.path(), TARGET).await).build().unwrap();
    let rule = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::Assistant);
    let db = timed(&clock)
        .layer(redirect_messages("vault", rule, target.clone()))
        .backend(store(folder.path(), LOCAL).await)
        .build()
        .unwrap();
    let thread = db.thread("t");
    let here = thread.add(NewMessage::user("question")).await.unwrap().message;
    let kept = thread.add(NewMessage::assistant("answer")).await.unwrap().message;
    damage(folder.path(), LOCAL, "t", 1);
    damage(folder.path(), LOCAL, "t", 2);
    let restore = |message: &Message| {
        // A backup in which the role differs, so that the rule of the redirect does not match.
        let row = ImportRow { role: Role::User, ..ImportRow::of(message.clone()).unwrap() };
        db.run(Import::restoring("t".parse().unwrap(), vec![row]))
    };
    let error = restore(&kept).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "vault"));
    assert!(target.thread("t").get(kept.id.clone()).await.unwrap().is_some());
    // The counterpart: a damaged message of the local store is restored.
    let restored = restore(&here).await.unwrap();
    assert_eq!(restored.rows, [ImportedRow::Restored(here.seq)]);
}
