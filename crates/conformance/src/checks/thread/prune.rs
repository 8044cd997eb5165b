//! `PlanPrune` and `PruneThread`.

use throughline_core::{
    Content, ErrorKind, NewReservation, Persistence, Role, Seq, Thread, Timestamp,
    messages::{Reserve, UpdateMode},
    threads::{Generation, Keep, PlanPrune, PrunePlan, PruneThread, Pruned},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, entry, everything, id, ids, refused, said, the, thread_id},
};

checks! {
    Extended "prunes.count_keeps_the_latest_messages" [Add Thread Read] "a prune to a count keeps that many of the latest messages" => count;
    Extended "prunes.byte_bound_keeps_the_latest_messages" [Add Thread Read] "a prune to a byte bound keeps the latest messages that fit into it" => bytes;
    Extended "prunes.time_keeps_later_messages" [Add Thread Read] "a prune to a time keeps all messages from the first one at that time" => time;
    Extended "prunes.several_limits_all_apply" [Add Thread Read] "a prune with several limits satisfies each of them" => several;
    Extended "prunes.abandoned_messages_are_not_counted" [Add Reserve UpdateContent Thread Read] "a prune removes abandoned messages with the others and does not count them" => abandoned;
    Extended "prunes.plan_removes_nothing" [Add Thread Read] "a prune plan states the messages to remove and removes none" => plan;
    Extended "prunes.prune_stops_at_the_first_open_message" [Add Reserve UpdateContent Thread Read] "a prune never removes messages from the first open one on, even if the plan lists them" => open;
    Extended "prunes.steps_are_bounded" [Add Thread Read] "one prune step removes a bounded number of messages and reports whether more remain" => steps;
    Extended "prunes.plan_of_another_generation_is_stale" [Add Thread Read] "a prune plan of another generation is refused as stale" => generation;
    Extended "prunes.pruned_messages_are_in_no_read" [Add Thread Read] "pruned messages leave every read and counter, leave tombstones, and other threads are unchanged" => leaves;
    Extended "prunes.limit_is_from_1_to_1000" [Add Thread Read] "a prune accepts a limit from 1 to 1000 and refuses others" => limit;
}

/// A thread of `m0`, `m1`, … one for each text, a second apart.
async fn thread_of(rig: &Rig, texts: &[&str]) -> (Persistence, Thread) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for (number, text) in texts.iter().enumerate() {
        rig.clock.set(Timestamp::from_micros(number as i64));
        thread.add(said(&format!("m{number}"), text)).await.unwrap();
    }
    (db, thread)
}

async fn left(thread: &Thread) -> String {
    ids(&everything(thread).await).join(" ")
}

async fn count(rig: Rig) {
    let (_db, thread) = thread_of(&rig, &["x"; 5]).await;
    for (keep, due) in [(6, "m0 m1 m2 m3 m4"), (5, "m0 m1 m2 m3 m4"), (2, "m3 m4"), (1, "m4"), (0, "")] {
        thread.prune(Keep::everything().messages(keep)).await.unwrap();
        assert_eq!(left(&thread).await, due, "{keep}");
    }
}

async fn bytes(rig: Rig) {
    let (_db, thread) = thread_of(&rig, &["x", "xxx", "xx", "x"]).await;
    let bytes = |text: &str| Content::text(text).byte_len() as u64;
    let (one, two, three) = (bytes("x"), bytes("xx"), bytes("xxx"));
    let cases = [
        (one + two + three + one, "m0 m1 m2 m3"),
        (one + two + three + one - 1, "m1 m2 m3"),
        (one + two, "m2 m3"),
        (one + two - 1, "m3"),
        (one - 1, ""),
    ];
    for (keep, due) in cases {
        thread.prune(Keep::everything().bytes(keep)).await.unwrap();
        assert_eq!(left(&thread).await, due, "{keep}");
    }
}

async fn time(rig: Rig) {
    let (_db, thread) = thread_of(&rig, &["x"; 4]).await;
    // The order is that of the seqs: an old time does not move a message.
    thread.add(said("old", "x").created_at(Timestamp::from_micros(-9))).await.unwrap();
    for (since, due) in
        [(-1, "m0 m1 m2 m3 old"), (0, "m0 m1 m2 m3 old"), (2, "m2 m3 old"), (3, "m3 old"), (4, "")]
    {
        thread.prune(Keep::everything().since(Timestamp::from_micros(since))).await.unwrap();
        assert_eq!(left(&thread).await, due, "{since}");
    }
}

async fn several(rig: Rig) {
    let (_db, thread) = thread_of(&rig, &["x"; 8]).await;
    let one = Content::text("x").byte_len() as u64;
    let keep = |messages, bytes, since| {
        Keep::everything().messages(messages).bytes(bytes * one).since(Timestamp::from_micros(since))
    };
    for (keep, due) in [
        (Keep::everything(), "m0 m1 m2 m3 m4 m5 m6 m7"),
        (keep(7, 8, 0), "m1 m2 m3 m4 m5 m6 m7"),
        (keep(8, 6, 0), "m2 m3 m4 m5 m6 m7"),
        (keep(8, 8, 3), "m3 m4 m5 m6 m7"),
        (keep(2, 1, 5), "m7"),
    ] {
        thread.prune(keep).await.unwrap();
        assert_eq!(left(&thread).await, due, "{keep:?}");
    }
}

async fn reserve(db: &Persistence, name: &str) {
    let row = NewReservation::new(Role::Assistant).with_id(id(name));
    db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
}

async fn abandoned(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x", "x"]).await;
    for name in ["a", "b"] {
        reserve(&db, name).await;
        let mode = UpdateMode::Abandon { reason: None };
        thread.update_content(id(name), append("abandoned"), mode).await.unwrap();
        thread.add(said(&format!("after {name}"), "x")).await.unwrap();
    }
    assert_eq!(left(&thread).await, "m0 m1 a after a b after b");
    // Nothing says that the abandoned one before the latest two is too much.
    for (keep, gone, due) in [(2, 2, "a after a b after b"), (1, 2, "b after b"), (0, 2, "")] {
        let pruned = thread.prune(Keep::everything().messages(keep)).await.unwrap();
        assert_eq!((pruned.messages, left(&thread).await.as_str()), (gone, due));
    }
}

async fn plan(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x", "xx", "xxx", "xxxx"]).await;
    let keep = Keep::everything().messages(2);
    let before = (everything(&thread).await, entry(&db, "t").await);
    let plan = thread.plan_prune(keep).await.unwrap();
    let gone = [&before.0[0], &before.0[1]];
    let due = PrunePlan {
        thread: thread_id("t"),
        generation: Generation::FIRST,
        through: Some(gone[1].seq),
        messages: 2,
        bytes: gone.iter().map(|message| message.content.byte_len() as u64).sum(),
    };
    assert_eq!(plan, due);
    assert_eq!((everything(&thread).await, entry(&db, "t").await), before);
    let nothing = thread.plan_prune(Keep::everything().messages(4)).await.unwrap();
    assert_eq!((nothing.through, nothing.messages, nothing.bytes), (None, 0, 0));
    let pruned = thread.prune(keep).await.unwrap();
    assert_eq!((pruned.messages, pruned.bytes), (due.messages, due.bytes));
    thread.clear().await.unwrap();
    assert_eq!(thread.plan_prune(keep).await.unwrap().generation, Generation::new(2));
}

fn step(through: Seq, limit: u32) -> PruneThread {
    PruneThread { thread: thread_id("t"), through, generation: Generation::FIRST, limit }
}

async fn open(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x", "x"]).await;
    reserve(&db, "open").await;
    thread.add(said("behind", "x")).await.unwrap();
    let open = the(&thread, "open").await.seq;
    let plan = thread.plan_prune(Keep::everything().messages(0)).await.unwrap();
    assert!(plan.through.is_some_and(|through| through < open), "{plan:?}");
    assert_eq!(plan.messages, 2);
    // The caller names a seq behind the open message.
    let behind = the(&thread, "behind").await.seq;
    let pruned = db.on_thread(step(behind, 10)).await.unwrap();
    assert_eq!((pruned.messages, pruned.more), (2, false));
    assert_eq!(left(&thread).await, "open behind");
    thread.update_content(id("open"), append("x"), UpdateMode::Final).await.unwrap();
    let pruned = db.on_thread(step(open, 10)).await.unwrap();
    assert_eq!((pruned.messages, pruned.more, left(&thread).await.as_str()), (1, false, "behind"));
}

async fn steps(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x"; 6]).await;
    let through = the(&thread, "m4").await.seq;
    let mut answers = Vec::new();
    for _ in 0..4 {
        let Pruned { messages, more, .. } = db.on_thread(step(through, 2)).await.unwrap();
        answers.push((messages, more, left(&thread).await));
    }
    let due = [(2, true, "m2 m3 m4 m5"), (2, true, "m4 m5"), (1, false, "m5"), (0, false, "m5")];
    assert_eq!(answers, due.map(|(messages, more, left)| (messages, more, left.to_owned())));
}

async fn generation(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x"; 3]).await;
    let through = the(&thread, "m1").await.seq;
    let of = |generation| db.on_thread(PruneThread { generation, ..step(through, 10) });
    refused(of(Generation::new(2)).await, ErrorKind::Stale);
    assert_eq!(left(&thread).await, "m0 m1 m2");
    assert_eq!(of(Generation::FIRST).await.unwrap().messages, 2);
    thread.clear().await.unwrap();
    thread.add(said("n", "x")).await.unwrap();
    refused(of(Generation::FIRST).await, ErrorKind::Stale);
    assert_eq!(left(&thread).await, "n");
}

async fn leaves(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let other = db.for_tenant("other".parse().unwrap());
    for thread in [&thread, &db.thread("u"), &other.thread("t")] {
        for name in ["a", "b", "c"] {
            let keys = [format!("{name}1").parse().unwrap(), format!("{name}2").parse().unwrap()];
            thread.add(said(name, name).with_attachments(keys)).await.unwrap();
        }
    }
    let kept = (everything(&db.thread("u")).await, everything(&other.thread("t")).await);
    let pruned = thread.prune(Keep::everything().messages(1)).await.unwrap();
    let attachments: Vec<&str> =
        pruned.attachments.iter().map(throughline_core::ids::AttachmentKey::as_str).collect();
    assert_eq!(attachments, ["a1", "a2", "b1", "b2"]);
    let now = entry(&db, "t").await;
    assert_eq!((now.messages, now.turns, now.preview.as_deref()), (1, 1, Some("c")));
    assert_eq!(now.bytes, Content::text("c").byte_len() as u64);
    for name in ["a", "b"] {
        assert_eq!(thread.get(id(name)).await.unwrap(), None);
        refused(thread.add(said(name, "x")).await, ErrorKind::Gone);
        refused(thread.edit(id(name), Content::empty()).await, ErrorKind::NotFound);
    }
    assert_eq!((everything(&db.thread("u")).await, everything(&other.thread("t")).await), kept);
    assert_eq!(
        db.read(PlanPrune { thread: thread_id("t"), keep: Keep::everything() }).await.unwrap().through,
        None
    );
}

async fn limit(rig: Rig) {
    let (db, thread) = thread_of(&rig, &["x"]).await;
    for limit in [0, 1001, u32::MAX] {
        refused(db.on_thread(step(Seq::FIRST, limit)).await, ErrorKind::Invalid);
        let purge = throughline_core::threads::PurgeThread { thread: thread_id("t"), limit };
        refused(db.on_thread(purge).await, ErrorKind::Invalid);
    }
    assert_eq!(left(&thread).await, "m0");
}
