//! The session that a claimer is offered, or the reason why none is.

use throughline_core::{
    Persistence,
    ids::{AttemptId, SessionId},
    sessions::{Claimer, Directory, Failure, Reach, RunReport, Runtime, SessionRevision, Withheld},
};

use super::{agent_thread, at, begun, binding, claimed, dir, gap, look, offer, points, ran, session};
use crate::{check::checks, rig::Rig};

checks! {
    Extended "sessions.second_run_resumes_the_first" ("TC-S1") [Session Read] "the first run creates a session, and the next run resumes it" => resume;
    Extended "sessions.alternating_threads_have_separate_sessions" ("TC-S2") [Session Read] "two alternating threads have two sessions, and neither is offered the other's" => threads;
    Extended "sessions.two_agents_have_separate_sessions" ("TC-S3") [Session Read] "two agents in one thread each have their own session" => agents;
    Extended "sessions.other_provider_is_offered_none" ("TC-S8") [Session Read] "another provider is offered no session, and the first provider finds its session again" => provider;
    Extended "sessions.other_runtime_is_offered_only_the_directory" ("MU-S1") [Session Read] "another runtime is offered the directory without a session, and the same runtime gets both" => other_runtime;
    Extended "sessions.moved_agent_resumes_per_runtime" ("MU-S2") [Session Read] "an agent that moved resumes on each runtime the session of that runtime" => moved;
    Extended "sessions.session_without_runtime_is_not_offered" ("MU-S3") [Session Read] "a session without a runtime is not offered, but a session of the claimer's runtime is" => nowhere;
    Extended "sessions.reinstalled_runtime_is_another_one" [Session Read] "a runtime with a new root epoch under its old name is offered no earlier session" => root;
    Extended "sessions.unreachable_session_is_dropped_and_reported" ("MU-S11") [Session Read] "a session with an unreachable directory or store is dropped, reported and not offered again" => reach;
    Extended "sessions.rerun_resumes_its_own_run" ("MU-S12") [Session Read] "a rerun is offered the session and directory of its own run, not those of a later run" => rerun;
    Extended "sessions.fresh_claim_is_offered_none" [Session Read] "a claim that asks for a fresh session is offered none and removes none" => fresh;
    Extended "sessions.fallback_session_has_its_own_directory" [Session Read] "a fallback session is offered with its own directory" => pairs;
}

async fn resume(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let nothing = look(&a, at("r1")).await;
    assert_eq!(offer(&nothing), (None, None, Some(Withheld::NoSession)));
    assert_eq!((nothing.binding, nothing.gap, nothing.revision), (None, None, SessionRevision::ZERO));
    let first = begun(&a, at("r1")).await;
    assert_eq!((first.number, offer(&first.resolution)), (1, (None, None, Some(Withheld::NoSession))));
    a.confirm(first.attempt, RunReport::of(session("s1")).in_directory(dir("/d"))).await.unwrap();
    let second = begun(&a, at("r1")).await;
    assert_eq!((second.number, offer(&second.resolution)), (2, (Some("s1"), Some("/d"), None)));
    assert_eq!(second.resolution.gap, None);
    let history = a.history(10).await.unwrap();
    assert_eq!((history.attempts.len(), history.more), (2, false));
    let resumed: Vec<_> = history.attempts.iter().map(|attempt| attempt.resumes.clone()).collect();
    assert_eq!(resumed, [Some(session("s1")), None]);
    let page = a.history(1).await.unwrap();
    assert_eq!((page.attempts[0].number, page.more), (2, true));
}

async fn threads(rig: Rig) {
    let db = rig.db().await;
    let agent_threads = [agent_thread(&db, "a"), agent_thread(&db, "b")];
    for turn in 0..10 {
        let (here, name) = (&agent_threads[turn % 2], ["sa", "sb"][turn % 2]);
        let run = begun(here, at("r1")).await;
        let expected = (turn >= 2).then_some(name);
        assert_eq!(run.resolution.session.as_ref().map(SessionId::as_str), expected, "turn {turn}");
        here.confirm(run.attempt, RunReport::of(session(name))).await.unwrap();
    }
    for (here, name) in agent_threads.iter().zip(["sa", "sb"]) {
        assert_eq!(points(&binding(here).await), Some((name, Some("r1"), None)));
        assert_eq!(here.history(10).await.unwrap().attempts.len(), 5);
    }
}

async fn agents(rig: Rig) {
    let db = rig.db().await;
    let (g, h) = (db.agent("g").on("a"), db.agent("h").on("a"));
    ran(&g, at("r1"), "sg").await;
    assert_eq!(offer(&look(&h, at("r1")).await), (None, None, Some(Withheld::NoSession)));
    ran(&h, at("r1"), "sh").await;
    assert_eq!(offer(&look(&g, at("r1")).await), (Some("sg"), Some("/sg"), None));
    assert_eq!(offer(&look(&h, at("r1")).await), (Some("sh"), Some("/sh"), None));
    let other = db.for_tenant("other".parse().unwrap());
    assert_eq!(look(&other.agent("g").on("a"), at("r1")).await.binding, None);
}

async fn provider(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let other = || Claimer { provider: "q".parse().unwrap(), ..at("r1") };
    assert_eq!(offer(&look(&a, other()).await), (None, Some("/s1"), Some(Withheld::ProviderMismatch)));
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s1"), Some("/s1"), None));
    ran(&a, other(), "q1").await;
    let back = look(&a, at("r1")).await;
    assert_eq!(offer(&back), (Some("s1"), Some("/s1"), Some(Withheld::ProviderMismatch)));
    assert_eq!(gap(&back), Some((Some("q1"), Withheld::ProviderMismatch)), "q1 has messages that s1 lacks");
}

async fn other_runtime(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    assert_eq!(offer(&look(&a, at("r2")).await), (None, Some("/s1"), Some(Withheld::RuntimeMismatch)));
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s1"), Some("/s1"), None));
}

async fn moved(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    ran(&a, at("r2"), "s2").await;
    assert_eq!(points(&binding(&a).await), Some(("s2", Some("r2"), Some("/s2"))));
    assert_eq!(offer(&look(&a, at("r2")).await), (Some("s2"), Some("/s2"), None));
    let queued = look(&a, at("r1")).await;
    assert_eq!(offer(&queued), (Some("s1"), Some("/s1"), Some(Withheld::RuntimeMismatch)));
}

async fn nowhere(rig: Rig) {
    let db = rig.db().await;
    let stranger = || Claimer { runtime: None, ..at("r1") };
    let a = agent_thread(&db, "a");
    ran(&a, stranger(), "s0").await;
    for claimer in [stranger(), at("r1")] {
        assert_eq!(offer(&look(&a, claimer).await), (None, Some("/s0"), Some(Withheld::RuntimeMismatch)));
    }
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s1").await;
    ran(&b, stranger(), "s0").await;
    assert_eq!(points(&binding(&b).await), Some(("s0", None, Some("/s0"))));
    assert_eq!(offer(&look(&b, at("r1")).await), (Some("s1"), Some("/s1"), Some(Withheld::RuntimeMismatch)));
    assert_eq!(look(&b, stranger()).await.session, None);
}

async fn root(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let reinstalled = Runtime::new("r1".parse().unwrap(), "another".parse().unwrap());
    let claimer = Claimer { runtime: Some(reinstalled), ..at("r1") };
    assert_eq!(offer(&look(&a, claimer).await), (None, Some("/s1"), Some(Withheld::RootEpoch)));
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s1")));
}

async fn reach(rig: Rig) {
    let db = rig.db().await;
    let found = |directory, session_missing| at("r1").reaching(Reach { directory, session_missing });
    for (thread, claimer, left, reason, after) in [
        ("gone", found(Directory::Gone, false), None, Withheld::WorkDirGone, None),
        ("missing", found(Directory::Same, true), Some("/s1"), Withheld::ArtifactMissing, None),
        (
            "elsewhere",
            found(Directory::Elsewhere, false),
            Some("/s1"),
            Withheld::WorkDirElsewhere,
            Some("s1"),
        ),
    ] {
        let here = agent_thread(&db, thread);
        ran(&here, at("r1"), "s1").await;
        let reported = claimed(&here, claimer).await;
        assert_eq!(offer(&reported), (None, left, Some(reason)));
        assert_eq!(gap(&reported), Some((Some("s1"), reason)));
        // The dead pair is not served again; one that is only elsewhere is there.
        let next = look(&here, at("r1")).await;
        assert_eq!((next.session.as_ref().map(SessionId::as_str), next.gap), (after, None), "{thread}");
    }
    // The same directory in another spelling: only the runtime can compare them.
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s1").await;
    let run = b.run(found(Directory::Same, false)).unwrap().in_directory(dir("/link/to/s1"));
    let run = b.begin(run).await.unwrap();
    assert_eq!(offer(&run.resolution), (Some("s1"), Some("/s1"), None));
    b.confirm(run.attempt, RunReport::of(session("s1"))).await.unwrap();
    assert_eq!(points(&binding(&b).await), Some(("s1", Some("r1"), Some("/link/to/s1"))));
    elsewhere(&db).await;
}

/// A run that works elsewhere is not paired with the directory that it did not work in.
async fn elsewhere(db: &Persistence) {
    let a = agent_thread(db, "works elsewhere");
    ran(&a, at("r1"), "s1").await;
    let elsewhere = || at("r1").reaching(Reach { directory: Directory::Elsewhere, session_missing: false });
    let run = begun(&a, elsewhere()).await.attempt;
    a.confirm(run, RunReport::of(session("s2"))).await.unwrap();
    assert_eq!(points(&binding(&a).await), Some(("s2", Some("r1"), None)), "it did not run in `/s1`");
    let run = a.begin(a.run(elsewhere()).unwrap().in_directory(dir("/here"))).await.unwrap().attempt;
    a.confirm(run, RunReport::of(session("s3"))).await.unwrap();
    assert_eq!(points(&binding(&a).await), Some(("s3", Some("r1"), Some("/here"))));
}

async fn rerun(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let first = begun(&a, at("r1")).await.attempt;
    let report = RunReport::of(session("s1")).in_directory(dir("/d1"));
    a.confirm(first.clone(), report).await.unwrap();
    let second = begun(&a, at("r1")).await.attempt;
    a.pin(second.clone(), session("s2"), Some(dir("/d2"))).await.unwrap();
    let again = || at("r1").rerunning(first.clone());
    assert_eq!(offer(&look(&a, again()).await), (Some("s1"), Some("/d1"), None));
    let elsewhere = look(&a, at("r2").rerunning(first.clone())).await;
    assert_eq!(offer(&elsewhere), (None, Some("/d1"), Some(Withheld::RuntimeMismatch)));
    a.confirm(second, RunReport::default()).await.unwrap();
    assert_eq!(offer(&look(&a, again()).await), (Some("s1"), Some("/d1"), None));
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s2"), Some("/d2"), None));
    // A run of another thread is nothing to this one.
    let b = agent_thread(&db, "b");
    let foreign = claimed(&b, again()).await;
    assert_eq!(offer(&foreign), (None, None, Some(Withheld::WrongScope)));
    assert_eq!(gap(&foreign), Some((None, Withheld::WrongScope)));
    let unknown = look(&a, at("r1").rerunning(AttemptId::mint())).await;
    assert_eq!(offer(&unknown), (None, None, Some(Withheld::WrongScope)));
    // A run that was cut off before it said a word had the session that it resumed.
    let c = agent_thread(&db, "c");
    ran(&c, at("r1"), "s1").await;
    let cut = begun(&c, at("r1")).await.attempt;
    c.fail(cut.clone(), Failure::Network, RunReport::default()).await.unwrap();
    let again = || at("r1").rerunning(cut.clone());
    assert_eq!(offer(&look(&c, again()).await), (Some("s1"), Some("/s1"), None));
    assert_eq!(look(&c, at("r2").rerunning(cut.clone())).await.withheld, Some(Withheld::RuntimeMismatch));
    c.retire(session("s1")).await.unwrap();
    let lost = claimed(&c, again()).await;
    assert_eq!(gap(&lost), Some((Some("s1"), Withheld::Retired)));
    // One that had nothing has nothing.
    let d = agent_thread(&db, "d");
    let empty = begun(&d, at("r1")).await.attempt;
    d.fail(empty.clone(), Failure::Network, RunReport::default()).await.unwrap();
    ran(&d, at("r1"), "s1").await;
    let nothing = claimed(&d, at("r1").rerunning(empty)).await;
    assert_eq!(offer(&nothing), (None, None, Some(Withheld::NothingToRerun)));
    assert_eq!(nothing.gap, None);
    // A rerun does not restore sessions that were reset since. A run that was queued before the reset still gets one.
    let f = agent_thread(&db, "f");
    let before = f.resolve(at("r1")).await.unwrap().resolution.generation;
    ran(&f, at("r1"), "s1").await;
    let first = f.history(1).await.unwrap().attempts.pop().expect("the first run").id;
    f.reset().await.unwrap();
    let reset = look(&f, at("r1").rerunning(first.clone())).await;
    assert_eq!(offer(&reset), (None, Some("/s1"), Some(Withheld::Generation)));
    let queued = look(&f, at("r1").rerunning(first.clone()).queued_under(before)).await;
    assert_eq!(offer(&queued), (Some("s1"), Some("/s1"), None));
    let reported = claimed(&f, at("r1").rerunning(first)).await;
    assert_eq!(gap(&reported), Some((Some("s1"), Withheld::Generation)));
    // That the directory of an earlier run is gone says nothing of a session that works in another one by now.
    let e = agent_thread(&db, "e");
    ran(&e, at("r1"), "s1").await;
    let first = e.history(1).await.unwrap().attempts.pop().expect("the first run").id;
    let moved = begun(&e, at("r1")).await.attempt;
    e.confirm(moved, RunReport::of(session("s1")).in_directory(dir("/moved"))).await.unwrap();
    let gone = Reach { directory: Directory::Gone, session_missing: false };
    let reported = claimed(&e, at("r1").rerunning(first).reaching(gone)).await;
    assert_eq!(offer(&reported), (None, None, Some(Withheld::WorkDirGone)));
    assert_eq!(offer(&look(&e, at("r1")).await), (Some("s1"), Some("/moved"), None));
}

async fn fresh(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    assert_eq!(offer(&look(&a, at("r1").fresh()).await), (None, None, Some(Withheld::ForcedFresh)));
    claimed(&a, at("r1").fresh()).await;
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s1"), Some("/s1"), None));
}

async fn pairs(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    ran(&a, at("r2"), "s2").await;
    ran(&a, at("r3"), "s3").await;
    for (runtime, name, directory) in [("r1", "s1", "/s1"), ("r2", "s2", "/s2"), ("r3", "s3", "/s3")] {
        let resolution = look(&a, at(runtime)).await;
        assert_eq!((resolution.session, resolution.work_dir), (Some(session(name)), Some(dir(directory))));
    }
}
