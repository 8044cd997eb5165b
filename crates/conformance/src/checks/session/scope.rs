//! Generations, threads that are cleared or deleted, and work that is handed on.

use std::time::Duration;

use throughline_core::{
    ErrorKind, NewThread,
    pipeline::Clock as _,
    sessions::{Failure, GenerationCause, HandOff, ResetSession, RunReport, SessionGeneration, Withheld},
};

use super::{agent_thread, at, begun, binding, claimed, look, offer, points, ran, session};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, refused, said, thread_id},
};

checks! {
    Extended "sessions.reset_keeps_the_old_session_in_the_history" ("TC-S4") [Session Read] "after a reset the next session becomes the pointer, and the old one stays in the history" => reset;
    Extended "sessions.reset_lasts_until_a_run_is_confirmed" ("TC-S5") [Session Read] "a reset lasts until a run of the new generation is confirmed, despite earlier failures" => lasting_reset;
    Extended "sessions.reset_scope_is_one_thread" ("TC-S7") [Session Read] "the reset of one thread is not consumed by another thread" => reset_scope;
    Extended "sessions.reset_of_an_old_generation_is_refused" [Session Read] "a reset that expects an earlier generation is refused" => reset_expected;
    Extended "sessions.each_generation_keeps_its_own_session" ("MU-S13") [Session Read] "a task of an earlier generation resumes its own session, and neither generation moves the other's pointer" => generation;
    Extended "sessions.call_without_thread_is_offered_none" ("TC-S9") [Session Read] "a call without a thread is offered no thread's session and changes none" => isolated;
    Extended "sessions.hand_off_keeps_its_thread" ("TC-S14") [Session Read] "a handed-off run stays in the thread of its origin, which the store records" => hand_off;
    Extended "sessions.clearing_a_thread_starts_a_generation" [Session Thread Add Read] "clearing a thread starts a new generation, and no run resumes an earlier session" => cleared;
    Extended "sessions.deleting_a_thread_removes_its_pointers" [Session Thread Add Read] "deleting a thread removes its pointers in the same commit" => deleted;
    Extended "sessions.deleted_thread_keeps_its_generation" [Session Thread Read] "a deleted thread keeps the session generation that its clears had reached" => deleted_after_a_clear;
    Extended "sessions.fork_copies_no_pointer" [Session Thread Import Add Read] "a fork copies no session pointer" => forked;
}

async fn reset(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let t1 = rig.clock.now();
    ran(&a, at("r1"), "s1").await;
    let t2 = rig.clock.advance(Duration::from_secs(5));
    let changed = a.reset().await.unwrap().binding;
    assert_eq!((changed.generation, changed.cause), (SessionGeneration::new(2), GenerationCause::Reset));
    rig.clock.advance(Duration::from_secs(5));
    let after = ran(&a, at("r1"), "s2").await;
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s2"), Some("/s2"), None));
    assert_eq!((after.created_at, after.generation), (t1, SessionGeneration::new(2)));
    assert!(after.updated_at >= t2);
    let history = a.history(10).await.unwrap().attempts;
    let sessions: Vec<_> =
        history.iter().map(|attempt| (attempt.generation.get(), attempt.session.clone())).collect();
    assert_eq!(sessions, [(2, Some(session("s2"))), (1, Some(session("s1")))]);
}

async fn lasting_reset(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    a.reset().await.unwrap();
    for failure in [Failure::Network, Failure::ContextOverflow] {
        let run = a.run(at("r1")).unwrap().assigning(session("s2"));
        let run = a.begin(run).await.unwrap();
        assert_eq!(run.resolution.session, None);
        a.fail(run.attempt, failure, RunReport::default()).await.unwrap();
    }
    claimed(&a, at("r1")).await;
    assert_eq!(offer(&look(&a, at("r1")).await), (None, None, Some(Withheld::Generation)));
    ran(&a, at("r1"), "s3").await;
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s3")));
}

async fn reset_scope(rig: Rig) {
    let db = rig.db().await;
    let (a, b) = (agent_thread(&db, "a"), agent_thread(&db, "b"));
    ran(&a, at("r1"), "sa").await;
    ran(&b, at("r1"), "sb").await;
    a.reset().await.unwrap();
    assert_eq!(ran(&b, at("r1"), "sb").await.generation, SessionGeneration::FIRST);
    assert_eq!(look(&b, at("r1")).await.session, Some(session("sb")));
    assert_eq!(begun(&a, at("r1")).await.resolution.session, None);
}

async fn reset_expected(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let reset = |expected| {
        let (agent, thread) = ("g".parse().unwrap(), thread_id("a"));
        db.on_session(ResetSession { agent, thread, expected: Some(SessionGeneration::new(expected)) })
    };
    refused(reset(2).await, ErrorKind::Stale);
    assert_eq!(reset(1).await.unwrap().binding.generation, SessionGeneration::new(2));
    refused(reset(1).await, ErrorKind::Stale);
    assert_eq!(binding(&a).await.generation, SessionGeneration::new(2));
}

async fn generation(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let queued = look(&a, at("r1")).await.generation;
    a.reset().await.unwrap();
    let old = || at("r1").queued_under(queued);
    // Before the new generation has anything, and after.
    ran(&a, old(), "s1").await;
    assert_eq!(offer(&look(&a, at("r1")).await), (None, None, Some(Withheld::Generation)));
    ran(&a, at("r1"), "s2").await;
    let run = begun(&a, old()).await;
    assert_eq!(offer(&run.resolution), (Some("s1"), Some("/s1"), None));
    let ended = a.confirm(run.attempt, RunReport::of(session("s1b"))).await.unwrap();
    assert_eq!((ended.moved, points(&ended.binding)), (false, Some(("s2", Some("r1"), Some("/s2")))));
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s2"), Some("/s2"), None));
    ran(&a, at("r1"), "s3").await;
    assert_eq!(offer(&look(&a, old()).await), (Some("s1b"), Some("/s1"), None));
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s3"), Some("/s3"), None));
    // A generation that there is not yet.
    let ahead = at("r1").queued_under(SessionGeneration::new(3));
    refused(a.begin(a.run(ahead).unwrap()).await, ErrorKind::Stale);
}

async fn isolated(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let before = ran(&a, at("r1"), "s1").await;
    let alone = db.agent("g").isolated();
    assert_eq!(offer(&look(&alone, at("r1")).await), (None, None, Some(Withheld::NoSession)));
    ran(&alone, at("r1"), "s9").await;
    assert_eq!(look(&db.agent("g").isolated(), at("r1")).await.session, None, "nor the last one used");
    assert_eq!(binding(&a).await, before);
    assert_eq!(look(&alone, at("r1")).await.session, Some(session("s9")));
}

async fn hand_off(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "sg").await;
    let run = begun(&a, at("r1")).await.attempt;
    let origin = HandOff { agent: "g".parse().unwrap(), thread: thread_id("a"), attempt: Some(run) };
    let h = db.agent("h").handed_off(origin.clone());
    assert_eq!(h.thread(), Ok(&thread_id("a")));
    // The lease of the one does not hold up the other, and its session is not the other's.
    let carried = begun(&h, at("r1")).await;
    assert_eq!(carried.resolution.session, None);
    h.confirm(carried.attempt, RunReport::of(session("sh"))).await.unwrap();
    let history = h.history(10).await.unwrap().attempts;
    assert_eq!(
        history.iter().map(|attempt| attempt.origin.clone()).collect::<Vec<_>>(),
        [Some(origin.clone())]
    );
    assert_eq!(look(&db.agent("h").on("a"), at("r1")).await.session, Some(session("sh")));
    assert_eq!(look(&a, at("r1")).await.session, Some(session("sg")));
    let foreign = agent_thread(&db, "b").run(at("r1")).unwrap().handed_off(origin);
    refused(db.on_session(foreign).await, ErrorKind::Invalid);
}

async fn cleared(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    db.thread("a").add(said("m", "x")).await.unwrap();
    ran(&a, at("r1"), "s1").await;
    let queued = look(&a, at("r1")).await.generation;
    let seen = look(&a, at("r1")).await.revision;
    let running = begun(&a, at("r1")).await.attempt;
    db.thread("a").clear().await.unwrap();
    let after = look(&a, at("r1")).await;
    assert_eq!(offer(&after), (None, None, Some(Withheld::Generation)));
    let binding = after.binding.expect("it is kept");
    assert_eq!(
        (binding.generation, binding.cause),
        (SessionGeneration::new(2), GenerationCause::ThreadCleared)
    );
    refused(a.confirm(running.clone(), RunReport::of(session("s1"))).await, ErrorKind::Stale);
    a.cancel(running, RunReport::default()).await.unwrap();
    refused(a.begin(a.run(at("r1").queued_under(queued)).unwrap()).await, ErrorKind::Stale);
    refused(a.begin(a.run(at("r1")).unwrap().expecting(seen)).await, ErrorKind::Stale);
    assert_eq!(look(&a, at("r1").queued_under(queued)).await.session, None);
    ran(&a, at("r1"), "s2").await;
    // A reset after it is another generation, of which the one before it is resumed as ever.
    let queued = look(&a, at("r1")).await.generation;
    a.reset().await.unwrap();
    assert_eq!(look(&a, at("r1").queued_under(queued)).await.session, Some(session("s2")));
}

async fn deleted(rig: Rig) {
    let db = rig.db().await;
    let (a, b) = (agent_thread(&db, "a"), agent_thread(&db, "b"));
    db.thread("a").add(said("m", "x")).await.unwrap();
    ran(&a, at("r1"), "s1").await;
    ran(&b, at("r1"), "s2").await;
    let run = begun(&a, at("r1")).await.attempt;
    db.thread("a").delete_thread().await.unwrap();
    let seen = look(&a, at("r1")).await;
    assert_eq!((offer(&seen), seen.binding.as_ref()), ((None, None, Some(Withheld::ThreadDeleted)), None));
    refused(a.confirm(run, RunReport::of(session("s1"))).await, ErrorKind::Gone);
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Gone);
    assert_eq!(a.history(10).await.unwrap().attempts, []);
    assert_eq!(look(&b, at("r1")).await.session, Some(session("s2")));
    // A purge of the thread also removes the rows of its sessions.
    for _ in 0..100 {
        if !db
            .on_thread(throughline_core::threads::PurgeThread { thread: thread_id("a"), limit: 1 })
            .await
            .unwrap()
            .more
        {
            break;
        }
    }
    assert_eq!(look(&b, at("r1")).await.session, Some(session("s2")));
    assert_eq!(look(&a, at("r1")).await.withheld, Some(Withheld::ThreadDeleted));
}

async fn deleted_after_a_clear(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    db.thread("a").clear().await.unwrap();
    assert_eq!(look(&a, at("r1")).await.generation, SessionGeneration::new(2));
    db.thread("a").delete_thread().await.unwrap();
    let seen = look(&a, at("r1")).await;
    assert_eq!((seen.withheld, seen.generation), (Some(Withheld::ThreadDeleted), SessionGeneration::new(2)));
}

async fn forked(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    db.thread("a").add(said("m", "x")).await.unwrap();
    ran(&a, at("r1"), "s1").await;
    let fork = NewThread::new().with_id(thread_id("fork"));
    db.thread("a").fork(&id("m"), fork).await.unwrap();
    assert_eq!(
        offer(&look(&agent_thread(&db, "fork"), at("r1")).await),
        (None, None, Some(Withheld::NoSession))
    );
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s1")));
}
