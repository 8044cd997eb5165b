//! Sessions that cannot be resumed, and the sessions next to them that can.

use throughline_core::sessions::{
    AgentThread, AttemptState, Claimer, Directory, Failure, PointerState, Reach, RunReport, Runtime, Withheld,
};

use super::{agent_thread, at, begun, binding, claimed, gap, look, offer, points, ran, runtime, session};
use crate::{check::checks, rig::Rig};

checks! {
    Extended "sessions.poisoned_session_is_skipped_until_a_run_succeeds" ("MU-S7") [Session Read] "a poisoned session is not offered until a later run succeeds on it" => poisoned;
    Extended "sessions.unrelated_failure_keeps_the_session" ("MU-S7") [Session Read] "a failure that does not concern the session keeps the session" => kept;
    Extended "sessions.each_failure_kind_has_its_effect" ("MU-S7") [Session Read] "each kind of failure poisons, misses or keeps the session as documented" => every_failure;
    Extended "sessions.retired_session_is_never_offered" ("MU-S8") [Session Read] "a retired session is never offered, and clearing the pointer to it keeps a newer pointer" => retired;
    Extended "sessions.pointer_is_cleared_only_if_it_matches" [Session Read] "a conditional clear removes the pointer only if session and runtime match" => clear_if;
    Extended "sessions.session_without_artifact_is_not_offered" ("MU-S10") [Session Read] "a session without its artifact is replaced by the older good one, and one run reports the gap" => artifact;
    Extended "sessions.each_drop_has_a_reason_and_is_reported_once" ("MU-S16") [Session Read] "each dropped session has a reason and is reported exactly once" => reasons;
    Extended "sessions.resumed_session_can_be_reported_again" ("MU-S16") [Session Read] "a dropped session that was resumed since is reported again at the next drop" => reported_again;
}

async fn failed(agent_thread: &AgentThread, failure: Failure, report: RunReport) {
    let run = begun(agent_thread, at("r1")).await;
    agent_thread.fail(run.attempt, failure, report).await.expect("it fails");
}

async fn poisoned(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    ran(&a, at("r1"), "s1").await;
    // The failure names no session: it is the one that was resumed.
    failed(&a, Failure::ContextOverflow, RunReport::default()).await;
    let reason = Withheld::Poisoned(Failure::ContextOverflow);
    assert_eq!(offer(&look(&a, at("r1")).await), (None, Some("/s1"), Some(reason)));
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s0").await;
    ran(&b, at("r1"), "s1").await;
    failed(&b, Failure::IterationLimit, RunReport::of(session("s1"))).await;
    let reason = Withheld::Poisoned(Failure::IterationLimit);
    assert_eq!(offer(&look(&b, at("r1")).await), (Some("s0"), Some("/s0"), Some(reason)));
    // Cancelled on it, or cut off, heals nothing.
    failed(&b, Failure::Network, RunReport::of(session("s1"))).await;
    assert_eq!(look(&b, at("r1")).await.session, Some(session("s0")));
    ran(&b, at("r1"), "s1").await;
    assert_eq!(offer(&look(&b, at("r1")).await), (Some("s1"), Some("/s1"), None));
    // One that was never well is no pointer.
    let c = agent_thread(&db, "c");
    ran(&c, at("r1"), "s0").await;
    failed(&c, Failure::InvalidRequest, RunReport::of(session("s9"))).await;
    assert_eq!(points(&binding(&c).await), Some(("s0", Some("r1"), Some("/s0"))));
    assert_eq!(look(&c, at("r1")).await.session, Some(session("s0")));
}

async fn kept(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    for failure in [Failure::Network, Failure::RateLimited, Failure::Tool] {
        failed(&a, failure, RunReport::default()).await;
        assert_eq!(offer(&look(&a, at("r1")).await), (Some("s1"), Some("/s1"), None));
    }
    // A failed run also reports a new session.
    failed(&a, Failure::Timeout, RunReport::of(session("s2"))).await;
    assert_eq!(points(&binding(&a).await), Some(("s2", Some("r1"), Some("/s1"))));
    let states: Vec<_> = a.history(2).await.unwrap().attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Failed(Failure::Timeout), AttemptState::Failed(Failure::Tool)]);
}

async fn every_failure(rig: Rig) {
    let db = rig.db().await;
    let poisons = [
        Failure::ContextOverflow,
        Failure::ResumeOversized,
        Failure::IterationLimit,
        Failure::InvalidRequest,
        Failure::FallbackMessage,
        Failure::SemanticInactivity,
    ];
    let keeps = [
        Failure::Network,
        Failure::RateLimited,
        Failure::ProviderUnavailable,
        Failure::Configuration,
        Failure::Timeout,
        Failure::RuntimeOffline,
        Failure::RuntimeRecovered,
        Failure::Tool,
        Failure::Other,
    ];
    let expected = poisons.into_iter().map(|failure| (failure, Some(Withheld::Poisoned(failure))));
    let expected = expected.chain(keeps.into_iter().map(|failure| (failure, None)));
    for (failure, reason) in expected.chain([(Failure::SessionNotFound, Some(Withheld::ArtifactMissing))]) {
        let here = agent_thread(&db, failure.as_str());
        ran(&here, at("r1"), "s1").await;
        failed(&here, failure, RunReport::default()).await;
        let offered = if reason.is_none() { Some("s1") } else { None };
        assert_eq!(offer(&look(&here, at("r1")).await), (offered, Some("/s1"), reason), "{failure}");
    }
}

async fn retired(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let run = begun(&a, at("r1")).await.attempt;
    a.confirm(run, RunReport::of(session("s2")).retiring(session("s1"))).await.unwrap();
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s2")));
    let cleared = a.clear_if(session("s1"), Some(runtime("r1"))).await.unwrap();
    assert_eq!((cleared.moved, points(&cleared.binding)), (false, Some(("s2", Some("r1"), Some("/s1")))));
    // Not when it is what is left, not for its own run, and not when something succeeds on it once more.
    failed(&a, Failure::ContextOverflow, RunReport::default()).await;
    assert_eq!(look(&a, at("r1")).await.session, None);
    let first = a.history(10).await.unwrap().attempts.pop().expect("the first run");
    let again = look(&a, at("r1").rerunning(first.id)).await;
    assert_eq!(offer(&again), (None, Some("/s1"), Some(Withheld::Retired)));
    ran(&a, at("r1"), "s1").await;
    assert_eq!(look(&a, at("r1")).await.session, None);
    // By itself.
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s1").await;
    let changed = b.retire(session("s1")).await.unwrap();
    assert_eq!(changed.binding.pointer.map(|pointer| pointer.state), Some(PointerState::Retired));
    assert_eq!(offer(&look(&b, at("r1")).await), (None, Some("/s1"), Some(Withheld::Retired)));
    // Before anybody reported it.
    let c = agent_thread(&db, "c");
    c.retire(session("s1")).await.unwrap();
    assert!(ran(&c, at("r1"), "s1").await.pointer.is_none());
    assert_eq!(offer(&look(&c, at("r1")).await), (None, Some("/s1"), Some(Withheld::Retired)));
}

async fn clear_if(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    for (name, at_runtime) in [("s2", None), ("s1", Some(runtime("r2")))] {
        let cleared = a.clear_if(session(name), at_runtime).await.unwrap();
        assert_eq!((cleared.moved, points(&cleared.binding)), (false, Some(("s1", Some("r1"), Some("/s1")))));
    }
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s1")));
    let cleared = a.clear_if(session("s1"), Some(runtime("r1"))).await.unwrap();
    assert_eq!((cleared.moved, cleared.binding.pointer), (true, None));
    assert_eq!(offer(&look(&a, at("r1")).await), (None, Some("/s1"), Some(Withheld::Cleared)));
    ran(&a, at("r1"), "s1").await;
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s1")));
}

async fn artifact(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s0").await;
    let run = begun(&a, at("r1")).await.attempt;
    let changed = a.confirm(run, RunReport::of(session("s1")).without_artifact()).await.unwrap();
    assert_eq!((changed.moved, points(&changed.binding)), (false, Some(("s0", Some("r1"), Some("/s0")))));
    for _ in 0..2 {
        // A look delivers nothing.
        let seen = look(&a, at("r1")).await;
        assert_eq!(offer(&seen), (Some("s0"), Some("/s0"), Some(Withheld::ArtifactMissing)));
        assert_eq!(gap(&seen), Some((Some("s1"), Withheld::ArtifactMissing)));
    }
    let mut reported = Vec::new();
    for _ in 0..3 {
        let claim = claimed(&a, at("r1")).await;
        assert_eq!(claim.session, Some(session("s0")));
        reported.push(gap(&claim).is_some());
    }
    assert_eq!(reported, [true, false, false]);
    // A run that says nothing else speaks of the session that it resumed.
    let run = begun(&a, at("r1")).await;
    assert_eq!(run.resolution.session, Some(session("s0")));
    a.confirm(run.attempt, RunReport::default().without_artifact()).await.unwrap();
    assert_eq!(offer(&look(&a, at("r1")).await), (None, Some("/s0"), Some(Withheld::ArtifactMissing)));
}

async fn reasons(rig: Rig) {
    let db = rig.db().await;
    let restarted = Runtime::new("r1".parse().unwrap(), "another".parse().unwrap());
    let other = Claimer { provider: "q".parse().unwrap(), ..at("r1") };
    let gone = Reach { directory: Directory::Gone, session_missing: false };
    let poison = Failure::FallbackMessage;
    let cases: [(&str, Claimer, Withheld); 10] = [
        ("runtime", at("r2"), Withheld::RuntimeMismatch),
        ("root", Claimer { runtime: Some(restarted), ..at("r1") }, Withheld::RootEpoch),
        ("provider", other, Withheld::ProviderMismatch),
        ("generation", at("r1"), Withheld::Generation),
        ("retired", at("r1"), Withheld::Retired),
        ("poisoned", at("r1"), Withheld::Poisoned(poison)),
        ("artifact", at("r1"), Withheld::ArtifactMissing),
        ("cleared", at("r1"), Withheld::Cleared),
        ("gone", at("r1").reaching(gone), Withheld::WorkDirGone),
        ("fresh", at("r1").fresh(), Withheld::ForcedFresh),
    ];
    for (name, claimer, reason) in cases {
        let here = agent_thread(&db, name);
        ran(&here, at("r1"), "s1").await;
        match reason {
            Withheld::Generation => drop(here.reset().await.unwrap()),
            Withheld::Retired => drop(here.retire(session("s1")).await.unwrap()),
            Withheld::Poisoned(failure) => failed(&here, failure, RunReport::default()).await,
            Withheld::ArtifactMissing => failed(&here, Failure::SessionNotFound, RunReport::default()).await,
            Withheld::Cleared => drop(here.clear_if(session("s1"), None).await.unwrap()),
            _ => {}
        }
        let first = claimed(&here, claimer.clone()).await;
        assert_eq!((first.session.as_ref(), first.withheld), (None, Some(reason)), "{name}");
        assert_eq!(gap(&first), Some((Some("s1"), reason)), "{name}");
        let second = claimed(&here, claimer).await;
        assert!(second.session.is_none() && second.withheld.is_some(), "{name}");
        assert_eq!(second.gap, None, "{name}: the gap was reported once");
    }
}

async fn reported_again(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    for _ in 0..2 {
        ran(&a, at("r1"), "s1").await;
        assert_eq!(gap(&claimed(&a, at("r2")).await), Some((Some("s1"), Withheld::RuntimeMismatch)));
        assert_eq!(gap(&claimed(&a, at("r2")).await), None);
    }
    // It was gone on with, although the run that did said nothing of it.
    let run = begun(&a, at("r1")).await;
    assert_eq!(run.resolution.session, Some(session("s1")));
    a.confirm(run.attempt, RunReport::default()).await.unwrap();
    assert_eq!(gap(&claimed(&a, at("r2")).await), Some((Some("s1"), Withheld::RuntimeMismatch)));
    assert_eq!(gap(&claimed(&a, at("r2")).await), None);
}
