//! Forks, which the handle makes of imports.

use std::sync::{
    Arc,
    atomic::{AtomicIsize, AtomicUsize, Ordering},
};

use throughline_core::{
    Content, Effect, ErrorKind, Message, MetadataPatch, NewReservation, NewThread, OpKind, PersistArgs,
    PersistError, PersistRequest, Persistence, Phase, Result, Role,
    messages::{Import, ImportRow, Reserve, UpdateMode},
    plugin::{NextRequest, from_fn},
    threads::{ForkPoint, ListThreads},
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{
        append, entry, everything, facts, id, ids, listed, names, new_thread, refused, said, thread_id, title,
    },
    tap::Tap,
};

checks! {
    Extended "forks.copy_ends_at_the_named_message" [Add UpdateContent Reserve Import Thread Read] "a fork copies final messages up to the named one, with their ids, times and bytes" => copies;
    Extended "forks.list_shows_the_origin" [Add Import Thread Read] "a list of threads shows the origin of each fork" => listed_fork;
    Extended "forks.failed_fork_is_hidden_and_resumable" [Import Thread Read] "a fork that failed midway is not listed, and a retry with its id continues it" => resumes;
    Extended "forks.invalid_fork_is_refused" [Add Reserve UpdateContent Import Thread Read] "a fork at a message that is not final, or into an existing thread, is refused without effect" => impossible;
    Extended "forks.layers_see_each_copied_message" [Import Thread Read] "every layer sees every message that a fork copies" => layers;
}

async fn copies(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("a", "one").with_metadata(facts(r#"{"n":1.10}"#))).await.unwrap();
    let reserve = |name: &str| {
        db.run(Reserve::new(thread_id("t"), NewReservation::new(Role::Assistant).with_id(id(name))))
    };
    reserve("open").await.unwrap();
    reserve("abandoned").await.unwrap();
    let mode = UpdateMode::Abandon { reason: None };
    thread.update_content(id("abandoned"), append("x"), mode).await.unwrap();
    rig.clock.advance(std::time::Duration::from_secs(1));
    thread.add(said("b", "\u{0} two").with_attachments(["k".parse().unwrap()])).await.unwrap();
    rig.clock.advance(std::time::Duration::from_secs(1));
    thread.edit(id("a"), Content::text("edited")).await.unwrap();
    thread.add(said("c", "three")).await.unwrap();
    thread.add(said("d", "four")).await.unwrap();
    thread.rename(title("a topic")).await.unwrap();
    thread.annotate(MetadataPatch::new().set("of", "the original").unwrap()).await.unwrap();
    let before = (everything(&thread).await, entry(&db, "t").await);
    let forked = thread.fork(&id("c"), new_thread("f").with_metadata(facts(r#"{"n":1.10}"#))).await.unwrap();
    assert_eq!(forked.messages, 3);
    assert_eq!(forked.summary, entry(&db, "f").await);
    let fork = &forked.summary;
    assert_eq!(fork.forked_from.as_deref(), Some(&ForkPoint { thread: thread_id("t"), message: id("c") }));
    // Facts and labels are those that the fork is given: what is said of the one need not hold of the other.
    assert_eq!(fork.metadata, facts(r#"{"n":1.10}"#));
    assert_eq!((&fork.title, fork.listed, fork.messages), (&title("a topic"), true, 3));
    let copies = everything(&db.thread("f")).await;
    assert_eq!(ids(&copies), ["a", "b", "c"]);
    for copy in &copies {
        let original = before.0.iter().find(|message| message.id == copy.id).expect("it was copied");
        // A copy has the first revision and a seq of its own.
        let (seq, revision) = (copy.seq, throughline_core::Revision::FIRST);
        let due = Message { thread: thread_id("f"), seq, revision, ..original.clone() };
        assert_eq!(*copy, due);
    }
    assert_eq!((everything(&thread).await, entry(&db, "t").await), before);
    // Each goes on by itself.
    db.thread("f").add(said("d", "another")).await.unwrap();
    db.thread("f").delete(id("a")).await.unwrap();
    assert_eq!((everything(&thread).await, entry(&db, "t").await), before);
    let named = thread.fork(&id("a"), NewThread::new().with_title(title("mine"))).await.unwrap();
    assert_eq!((named.summary.title, named.messages), (title("mine"), 1));
}

async fn listed_fork(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    db.thread("t").fork(&id("m"), new_thread("f")).await.unwrap();
    let listed = listed(&db, ListThreads::new(10)).await;
    let fork = listed.iter().find(|entry| entry.thread == thread_id("f")).expect("it is listed");
    assert_eq!(fork.forked_from.as_deref(), Some(&ForkPoint { thread: thread_id("t"), message: id("m") }));
}

/// Lets so many imports through, and fails one then.
struct FailsOnce(AtomicIsize);

impl Tap for FailsOnce {
    async fn before(&self, kind: OpKind) -> Result<()> {
        if kind == OpKind::Import && self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            let error = PersistError::new(ErrorKind::Unavailable, "no connection");
            return Err(error.with_effect(Effect::NotApplied));
        }
        Ok(())
    }

    async fn after(&self, _: OpKind) -> Result<()> {
        Ok(())
    }
}

/// A thread `t` of `m0`, `m1`, …
async fn long_thread(db: &Persistence, count: usize) {
    let row = |number| {
        ImportRow::new(id(&format!("m{number}")), Role::User, Content::text("x"), ManualClock::START)
    };
    db.run(Import::new(thread_id("t"), (0..count).map(row).collect())).await.unwrap();
}

async fn resumes(rig: Rig) {
    let tap = Arc::new(FailsOnce(AtomicIsize::new(-1)));
    let db = rig.builder().backend(rig.tapped(&tap).await).build().unwrap();
    let thread = db.thread("t");
    // More than a fork copies at once.
    long_thread(&db, 450).await;
    tap.0.store(1, Ordering::SeqCst);
    let error = refused(thread.fork(&id("m420"), new_thread("f")).await, ErrorKind::Unavailable);
    let part = entry(&db, "f").await;
    assert!(part.messages > 0 && part.messages < 421 && !part.listed, "{part:?} after {error}");
    assert_eq!(names(&listed(&db, ListThreads::new(10)).await), ["t"]);
    // The id of the failed fork stays taken for other forks.
    refused(thread.fork(&id("m1"), new_thread("f")).await, ErrorKind::AlreadyExists);
    let forked = thread.fork(&id("m420"), new_thread("f")).await.unwrap();
    assert_eq!((forked.messages, forked.summary.messages, forked.summary.listed), (421, 421, true));
    let copies = everything(&db.thread("f")).await;
    assert!(copies.iter().map(|copy| &copy.id).eq(everything(&thread).await[..421].iter().map(|m| &m.id)));
    let mut shown: Vec<String> =
        names(&listed(&db, ListThreads::new(10)).await).into_iter().map(str::to_owned).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["f", "t"]);
    // Its answer may have been lost: begun again it is the same fork, and nothing is copied again.
    let again = thread.fork(&id("m420"), new_thread("f")).await.unwrap();
    assert_eq!(again, forked);
}

async fn impossible(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    db.thread("u").add(said("m", "theirs")).await.unwrap();
    for name in ["open", "abandoned"] {
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
    }
    let mode = UpdateMode::Abandon { reason: None };
    thread.update_content(id("abandoned"), append("x"), mode).await.unwrap();
    let before = (everything(&db.thread("u")).await, entry(&db, "u").await);
    for (at, kind) in
        [("unknown", ErrorKind::NotFound), ("open", ErrorKind::Conflict), ("abandoned", ErrorKind::Conflict)]
    {
        let error = thread.fork(&id(at), new_thread("f")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let itself = thread.fork(&id("m"), new_thread("t")).await.unwrap_err();
    assert_eq!(itself.kind(), ErrorKind::Invalid);
    refused(thread.fork(&id("m"), new_thread("u")).await, ErrorKind::AlreadyExists);
    assert_eq!((everything(&db.thread("u")).await, entry(&db, "u").await), before);
    assert_eq!(db.thread("f").summary().await.unwrap(), None);
    assert_eq!(ids(&everything(&thread).await), ["m", "open", "abandoned"]);
}

async fn layers(rig: Rig) {
    let seen = Arc::new(AtomicUsize::new(0));
    let layer = {
        let seen = Arc::clone(&seen);
        from_fn("kit.counts", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
            if let PersistArgs::Import(import) = &request.args {
                seen.fetch_add(import.rows.len(), Ordering::SeqCst);
            }
            next.run(request)
        })
    };
    let db = rig.builder().layer(layer).backend(rig.open().await).build().unwrap();
    long_thread(&db, 250).await;
    seen.store(0, Ordering::SeqCst);
    let forked = db.thread("t").fork(&id("m249"), new_thread("f")).await.unwrap();
    assert_eq!((forked.messages, seen.load(Ordering::SeqCst)), (250, 250));
}
