//! Operations on a whole agent or runtime.

use throughline_core::{
    ErrorKind,
    sessions::{GenerationCause, RunReport, SessionGeneration, Withheld},
    threads::ClearThread,
};

use super::{agent_thread, at, begun, binding, gap, look, offer, points, ran, session};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{everything, refused, said, thread_id},
};

checks! {
    Extended "sessions.recreated_agent_inherits_none" ("TC-S13") [Session Add Read] "a recreated agent inherits no sessions, and its conversations stay" => dropped_agent;
    Extended "sessions.agent_reset_covers_every_thread" [Session Thread Add Read] "an agent reset starts a new generation in each of its threads and in no other agent's" => reset_agent;
    Extended "sessions.pointers_of_a_dropped_runtime_are_unusable" ("MU-S14") [Session Add Read] "a dropped runtime leaves unusable pointers, and a new runtime starts fresh in the same directory" => dropped_runtime;
}

async fn dropped_agent(rig: Rig) {
    let db = rig.db().await;
    let (a, b) = (agent_thread(&db, "a"), agent_thread(&db, "b"));
    db.thread("a").add(said("m", "x")).await.unwrap();
    ran(&a, at("r1"), "sa").await;
    ran(&b, at("r1"), "sb").await;
    let h = db.agent("h").on("a");
    ran(&h, at("r1"), "sh").await;
    let b1 = agent_thread(&db, "b1");
    let decided = look(&b1, at("r1")).await.revision;
    b.reset().await.unwrap();
    let queued = look(&b, at("r1")).await.generation;
    let run = begun(&a, at("r1")).await.attempt;
    db.agent("g").drop_sessions().await.unwrap();
    // Work that was queued before is older than what comes, however often the sessions were reset.
    assert!(look(&b, at("r1")).await.generation > queued);
    for here in [&a, &b] {
        let seen = look(here, at("r1")).await;
        assert_eq!((offer(&seen), seen.binding.as_ref()), ((None, None, Some(Withheld::NoSession)), None));
        assert_eq!(here.history(10).await.unwrap().attempts, []);
    }
    refused(a.confirm(run.clone(), RunReport::of(session("sa"))).await, ErrorKind::NotFound);
    refused(b1.begin(b1.run(at("r1")).unwrap().expecting(decided)).await, ErrorKind::Stale);
    // A new thread with the same id has neither the former sessions nor the former run.
    let first = begun(&a, at("r1")).await;
    assert_eq!((first.number, first.resolution.session, first.resolution.gap), (1, None, None));
    a.confirm(first.attempt, RunReport::of(session("sn"))).await.unwrap();
    assert_eq!(look(&a, at("r1")).await.session, Some(session("sn")));
    assert_eq!(look(&h, at("r1")).await.session, Some(session("sh")));
    assert_eq!(everything(&db.thread("a")).await.len(), 1);
    let other = db.for_tenant("other".parse().unwrap());
    ran(&agent_thread(&other, "a"), at("r1"), "so").await;
    db.agent("g").drop_sessions().await.unwrap();
    assert_eq!(look(&agent_thread(&other, "a"), at("r1")).await.session, Some(session("so")));
}

async fn reset_agent(rig: Rig) {
    let db = rig.db().await;
    let (a, b) = (agent_thread(&db, "a"), agent_thread(&db, "b"));
    ran(&a, at("r1"), "sa").await;
    ran(&b, at("r1"), "sb").await;
    let queued = look(&a, at("r1")).await.generation;
    let h = db.agent("h").on("a");
    ran(&h, at("r1"), "sh").await;
    let run = begun(&b, at("r1")).await.attempt;
    db.agent("g").reset_all().await.unwrap();
    // One that goes on does not use it up for the other.
    ran(&a, at("r1"), "sa2").await;
    assert_eq!(look(&a, at("r1")).await.session, Some(session("sa2")));
    refused(b.confirm(run.clone(), RunReport::of(session("sb"))).await, ErrorKind::Stale);
    b.cancel(run, RunReport::default()).await.unwrap();
    let seen = look(&b, at("r1")).await;
    assert_eq!(offer(&seen), (None, None, Some(Withheld::Generation)));
    assert_eq!(seen.binding.as_ref().map(|binding| binding.cause), Some(GenerationCause::AgentReset));
    assert_eq!(binding(&b).await.generation, SessionGeneration::new(2));
    assert_eq!(look(&a, at("r1").queued_under(queued)).await.session, Some(session("sa")));
    assert_eq!(look(&h, at("r1")).await.session, Some(session("sh")));
    // Work that was queued before a thread was cleared is refused, whether or not anything was kept by then.
    let c = agent_thread(&db, "c");
    db.thread("c").add(said("m", "x")).await.unwrap();
    let queued = look(&c, at("r1")).await.generation;
    db.on_thread(ClearThread::new(thread_id("c"))).await.unwrap();
    refused(c.begin(c.run(at("r1").queued_under(queued)).unwrap()).await, ErrorKind::Stale);
}

async fn dropped_runtime(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    db.thread("a").add(said("m", "x")).await.unwrap();
    ran(&a, at("r2"), "s2").await;
    ran(&a, at("r1"), "s1").await;
    let run = begun(&a, at("r1")).await.attempt;
    db.drop_runtime("r1".parse().unwrap()).await.unwrap();
    assert_eq!(points(&binding(&a).await), Some(("s1", None, Some("/s1"))), "unusable, and present");
    // A run that began on it ends on it, not on the one that comes.
    a.confirm(run, RunReport::of(session("s1"))).await.unwrap();
    let fresh = begun(&a, at("r1")).await;
    assert_eq!(offer(&fresh.resolution), (None, Some("/s1"), Some(Withheld::RuntimeMismatch)));
    assert_eq!(gap(&fresh.resolution), Some((Some("s1"), Withheld::RuntimeMismatch)));
    a.confirm(fresh.attempt, RunReport::of(session("s3"))).await.unwrap();
    assert_eq!(points(&binding(&a).await), Some(("s3", Some("r1"), Some("/s1"))));
    assert_eq!(look(&a, at("r2")).await.session, Some(session("s2")));
    assert_eq!(everything(&db.thread("a")).await.len(), 1);
    assert_eq!(a.history(10).await.unwrap().attempts.len(), 4);
}
