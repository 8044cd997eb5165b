//! Threads that there are not.

use throughline_core::{
    ErrorKind, Seq, ThreadId,
    threads::{
        ArchiveThread, ClearThread, DeleteThread, Generation, Keep, LabelThread, ListThreads, PlanPrune,
        PruneThread, PublishThread, PurgeThread, RebuildThread, RenameThread, ThreadArgs,
    },
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, listed, refused, said, thread_id, title},
};

checks! {
    Extended "threads.operation_on_an_unknown_thread_is_not_found" [Add Thread Read] "every operation on an unknown thread is refused as not found and creates no thread" => unknown;
    Extended "threads.reads_of_an_unknown_thread_are_empty" [Thread Read] "reads of an unknown thread are empty" => reads;
}

/// Every operation on a thread but for its creation.
pub(crate) fn every(thread: &ThreadId) -> Vec<ThreadArgs> {
    let t = || thread.clone();
    vec![
        RenameThread::new(t(), title("x")).into(),
        ArchiveThread { thread: t(), archived: true }.into(),
        LabelThread::new(t()).into(),
        PublishThread { thread: t() }.into(),
        RebuildThread { thread: t() }.into(),
        ClearThread::new(t()).into(),
        PruneThread { thread: t(), through: Seq::FIRST, generation: Generation::FIRST, limit: 1 }.into(),
        DeleteThread { thread: t() }.into(),
        PurgeThread { thread: t(), limit: 1 }.into(),
    ]
}

async fn unknown(rig: Rig) {
    let db = rig.db().await;
    db.thread("T").add(said("m", "x")).await.unwrap();
    let other = db.for_tenant("other".parse().unwrap());
    other.thread("t").add(said("m", "x")).await.unwrap();
    let before = (entry(&db, "T").await, entry(&other, "t").await);
    for args in every(&thread_id("t")) {
        let case = args.as_str();
        let error = refused(db.run(args).await, ErrorKind::NotFound);
        assert_eq!(db.thread("t").summary().await.unwrap(), None, "{case}: {error}");
    }
    assert_eq!((entry(&db, "T").await, entry(&other, "t").await), before);
    db.thread("t").add(said("m", "x")).await.expect("and none of it is dead by that");
}

async fn reads(rig: Rig) {
    let db = rig.db().await;
    assert_eq!(db.thread("t").summary().await.unwrap(), None);
    assert_eq!(listed(&db, ListThreads::new(10).archived_too()).await, []);
    let plan =
        db.read(PlanPrune { thread: thread_id("t"), keep: Keep::everything().messages(0) }).await.unwrap();
    assert_eq!((plan.thread, plan.through, plan.messages, plan.bytes), (thread_id("t"), None, 0, 0));
}
