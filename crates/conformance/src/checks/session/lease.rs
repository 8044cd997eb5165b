//! One run at a time, and who takes over.

use std::time::Duration;

use throughline_core::{
    ErrorKind,
    pipeline::Clock as _,
    sessions::{AttemptState, Failure, PointerState, RunReport, Withheld},
};

use super::{agent_thread, at, begun, binding, claimed, look, offer, points, ran, session};
use crate::{check::checks, rig::Rig, shorthand::refused};

checks! {
    Extended "sessions.one_first_run_begins_and_the_other_resumes" ("TC-S10") [Session Read; threads] "of two first runs one begins and the other later resumes it, while another thread does not wait" => one;
    Extended "sessions.expired_lease_can_be_taken_over" [Session Read] "a lease can be taken over only after it has ended, and the former run is refused afterwards" => lease;
    Extended "sessions.late_run_without_takeover_can_confirm" [Session Read] "a run whose lease expired can renew and confirm if no other run took over" => late_writer;
    Extended "sessions.heartbeat_never_shortens_the_lease" [Session Read] "a heartbeat renews the lease, never shortens it, and reports a lost run" => heartbeat;
    Extended "sessions.provisional_id_of_a_dead_run_is_not_offered" ("TC-S6") [Session Read] "the preassigned id of a dead run is not offered, but a reported id is" => provisional;
    Extended "sessions.run_from_before_a_reset_is_refused" ("TC-S11") [Session Read] "a run that began before a reset is refused at its end and releases its lease" => late;
}

const LEASE: Duration = Duration::from_secs(10);

async fn one(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let calls = [(); 2].map(|()| {
        let a = a.clone();
        tokio::spawn(async move { a.begin(a.run(at("r1")).unwrap()).await })
    });
    let mut begun_runs = Vec::new();
    for call in calls {
        match call.await.expect("no panic") {
            Ok(run) => begun_runs.push(run.attempt),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy),
        }
    }
    assert_eq!(begun_runs.len(), 1, "one has the lease");
    let b = agent_thread(&db, "b");
    let other = begun(&b, at("r1")).await.attempt;
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Busy);
    a.confirm(begun_runs.remove(0), RunReport::of(session("s1"))).await.unwrap();
    assert_eq!(begun(&a, at("r1")).await.resolution.session, Some(session("s1")));
    b.confirm(other, RunReport::of(session("s2"))).await.unwrap();
    assert_eq!(a.history(10).await.unwrap().attempts.len(), 2);
}

async fn lease(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let first = a.begin(a.run(at("r1")).unwrap().with_lease(LEASE)).await.unwrap();
    assert_eq!(first.lease.expires_at, rig.clock.now().plus(LEASE));
    rig.clock.advance(LEASE - Duration::from_micros(1));
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Busy);
    rig.clock.advance(Duration::from_micros(1));
    let expired = look(&a, at("r1")).await.binding.and_then(|binding| binding.running);
    assert_eq!(expired.map(|running| running.attempt), Some(first.attempt.clone()));
    let second = begun(&a, at("r1")).await.attempt;
    let report = || RunReport::of(session("s1"));
    refused(a.confirm(first.attempt.clone(), report()).await, ErrorKind::Stale);
    refused(a.fail(first.attempt.clone(), Failure::Other, report()).await, ErrorKind::Stale);
    refused(a.cancel(first.attempt.clone(), report()).await, ErrorKind::Stale);
    refused(a.pin(first.attempt.clone(), session("s1"), None).await, ErrorKind::Stale);
    refused(a.renew(first.attempt.clone()).await, ErrorKind::Stale);
    let states: Vec<_> = a.history(10).await.unwrap().attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Running, AttemptState::Lapsed]);
    a.confirm(second.clone(), RunReport::of(session("s2"))).await.unwrap();
    refused(a.confirm(second, report()).await, ErrorKind::Stale);
    assert_eq!(points(&binding(&a).await), Some(("s2", Some("r1"), None)));
    // A resolution from before the end of the lease is not offered after it.
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s1").await;
    let run = b.begin(b.run(at("r1")).unwrap().with_lease(LEASE)).await.unwrap().attempt;
    b.pin(run, session("s2"), None).await.unwrap();
    let before = look(&b, at("r1")).await;
    rig.clock.advance(LEASE);
    refused(b.begin(b.run(at("r1")).unwrap().expecting(before.revision)).await, ErrorKind::Stale);
    let after = look(&b, at("r1")).await;
    assert_eq!((before.session, &after.session), (Some(session("s1")), &Some(session("s2"))));
    b.begin(b.run(at("r1")).unwrap().expecting(after.revision)).await.unwrap();
}

async fn late_writer(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let run = a.begin(a.run(at("r1")).unwrap().with_lease(LEASE)).await.unwrap().attempt;
    rig.clock.advance(LEASE * 5);
    assert_eq!(a.renew(run.clone()).await.unwrap().lease.expires_at, rig.clock.now().plus(LEASE));
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Busy);
    rig.clock.advance(LEASE * 5);
    a.confirm(run, RunReport::of(session("s1"))).await.unwrap();
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s1")));
}

async fn heartbeat(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let run = a.begin(a.run(at("r1")).unwrap().with_lease(LEASE)).await.unwrap();
    let revision = look(&a, at("r1")).await.revision;
    rig.clock.advance(LEASE / 2);
    let renewed = a.renew(run.attempt.clone()).await.unwrap();
    let until = rig.clock.now().plus(LEASE);
    assert_eq!((renewed.lease.expires_at, renewed.superseded), (until, false));
    rig.clock.go_back(LEASE);
    assert_eq!(a.renew(run.attempt.clone()).await.unwrap().lease.expires_at, until);
    assert_eq!(look(&a, at("r1")).await.revision, revision, "a heartbeat is no change");
    a.reset().await.unwrap();
    assert!(a.renew(run.attempt).await.unwrap().superseded);
}

async fn provisional(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let run = a.run(at("r1")).unwrap().assigning(session("given")).with_lease(LEASE);
    a.begin(run).await.unwrap();
    let seen = look(&a, at("r1")).await;
    assert_eq!(offer(&seen), (None, None, Some(Withheld::Provisional)));
    let pointer = seen.binding.and_then(|binding| binding.pointer).expect("a provisional pointer");
    assert_eq!((pointer.session, pointer.state), (session("given"), PointerState::Provisional));
    rig.clock.advance(LEASE);
    assert_eq!(offer(&claimed(&a, at("r1")).await), (None, None, Some(Withheld::Provisional)));
    // With a session before, that one is resumed.
    let b = agent_thread(&db, "b");
    ran(&b, at("r1"), "s1").await;
    b.begin(b.run(at("r1").fresh()).unwrap().assigning(session("given")).with_lease(LEASE)).await.unwrap();
    rig.clock.advance(LEASE);
    assert_eq!(offer(&claimed(&b, at("r1")).await), (Some("s1"), Some("/s1"), None));
    // A session that a dead run has pinned is resumed, but only after the lease of the run has expired.
    let c = agent_thread(&db, "c");
    ran(&c, at("r1"), "s1").await;
    let run = c.begin(c.run(at("r1")).unwrap().with_lease(LEASE)).await.unwrap().attempt;
    c.pin(run, session("s2"), None).await.unwrap();
    assert_eq!(look(&c, at("r1")).await.session, Some(session("s1")));
    rig.clock.advance(LEASE);
    assert_eq!(look(&c, at("r1")).await.session, Some(session("s2")));
    assert_eq!(look(&c, at("r2")).await.withheld, Some(Withheld::RuntimeMismatch));
    assert_eq!(claimed(&c, at("r1")).await.session, Some(session("s2")));
}

async fn late(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let run = begun(&a, at("r1")).await.attempt;
    a.reset().await.unwrap();
    refused(a.confirm(run.clone(), RunReport::of(session("s1"))).await, ErrorKind::Stale);
    refused(a.pin(run.clone(), session("s1"), None).await, ErrorKind::Stale);
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Busy);
    let ended = a.cancel(run, RunReport::of(session("s1"))).await.unwrap();
    assert!(!ended.moved);
    assert_eq!(offer(&look(&a, at("r1")).await), (None, None, Some(Withheld::Generation)));
    ran(&a, at("r1"), "s2").await;
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s2")));
}
