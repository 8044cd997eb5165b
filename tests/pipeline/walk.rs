//! A walk reads a thread page by page.

use throughline::{
    ErrorKind, NewMessage, PersistError, Persistence, Role, Seq,
    memory::MemoryBackend,
    messages::{PageFrom, Visibility},
    plugin::respond,
};

async fn filled(messages: u64) -> Persistence {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    for number in 1..=messages {
        db.thread("t").add(NewMessage::user(&number.to_string())).await.unwrap();
    }
    db
}

async fn walked(db: &Persistence, from: PageFrom, visibility: Visibility) -> Vec<u64> {
    let mut walk = db.thread("t").walk(from, visibility);
    let mut seqs = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        seqs.push(message.seq.get());
    }
    assert!(walk.next().await.unwrap().is_none(), "a walk stays at its end");
    seqs
}

#[tokio::test]
async fn a_walk_returns_every_message_once_in_its_direction() {
    let db = filled(250).await;
    let up: Vec<u64> = (1..=250).collect();
    assert_eq!(walked(&db, PageFrom::Start, Visibility::All).await, up);
    let down: Vec<u64> = (1..=250).rev().collect();
    assert_eq!(walked(&db, PageFrom::End, Visibility::All).await, down);
    assert_eq!(walked(&db, PageFrom::After(Seq::new(248)), Visibility::All).await, [249, 250]);
    assert_eq!(walked(&db, PageFrom::Before(Seq::new(3)), Visibility::All).await, [2, 1]);
    assert_eq!(walked(&filled(0).await, PageFrom::Start, Visibility::All).await, [0; 0]);
}

#[tokio::test]
async fn a_walk_respects_its_visibility() {
    let db = filled(2).await;
    let _open = db.thread("t").reserve(Role::Assistant).await.unwrap();
    db.thread("t").add(NewMessage::user("4")).await.unwrap();
    assert_eq!(walked(&db, PageFrom::Start, Visibility::All).await, [1, 2, 3, 4]);
    assert_eq!(walked(&db, PageFrom::Start, Visibility::Final).await, [1, 2, 4]);
    assert_eq!(walked(&db, PageFrom::Start, Visibility::Settled).await, [1, 2]);
}

#[tokio::test]
async fn a_failed_read_does_not_move_the_walk() {
    let fails_once = std::sync::atomic::AtomicUsize::new(0);
    let fails = respond("fails", move |args, _| {
        let second =
            !args.kind().is_write() && fails_once.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1;
        second.then(|| Err(PersistError::new(ErrorKind::Unavailable, "not now")))
    });
    let db = Persistence::builder().plugin(fails).backend(MemoryBackend::new()).build().unwrap();
    for number in 1..=150 {
        db.thread("t").add(NewMessage::user(&number.to_string())).await.unwrap();
    }
    let mut walk = db.thread("t").walk(PageFrom::Start, Visibility::All);
    for seq in 1..=100 {
        assert_eq!(walk.next().await.unwrap().unwrap().seq.get(), seq);
    }
    assert_eq!(walk.next().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(walk.next().await.unwrap().unwrap().seq.get(), 101);
}

#[tokio::test]
async fn an_invalid_thread_id_fails_the_first_step_of_a_walk() {
    let db = filled(0).await;
    let mut walk = db.thread("").walk(PageFrom::Start, Visibility::All);
    assert_eq!(walk.next().await.unwrap_err().kind(), ErrorKind::Invalid);
}
