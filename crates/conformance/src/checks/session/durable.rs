//! Sessions that are there after the store was opened again, over two handles and two processes.

use std::time::Duration;

use throughline_core::{
    ErrorKind,
    sessions::{Failure, RunReport, SessionGeneration, Withheld},
};

use super::{agent_thread, at, begun, binding, claimed, gap, look, offer, points, ran, session};
use crate::{
    check::checks,
    child::{Process, Role},
    rig::Rig,
    shorthand::refused,
};

checks! {
    Extended "sessions.state_survives_reopening" [Session Read; durable] "pointers, reasons, runs and dropped agents and runtimes are unchanged after the store is reopened" => reopened;
    Extended "sessions.unconfirmed_id_is_not_offered_after_reopening" ("TC-S6") [Session Read; durable] "the id of a run that died with its process is not offered after the store is reopened" => provisional;
    Extended "sessions.lease_survives_reopening" ("TC-S10") [Session Read; durable] "a lease outlives the process of its run and can be taken over after it ends" => lease;
    Extended "sessions.gap_is_not_reported_again_after_reopening" ("MU-S16") [Session Read; durable] "a reported gap is not reported again after the store is reopened" => reported;
    Extended "sessions.two_handles_share_one_run" ("TC-S10") [Session Read; durable processes threads] "of two handles one begins a run, and the other sees the resulting session" => handles;
    Extended "sessions.processes_never_show_a_mixed_pair" ("MU-S5") [Session Read; durable processes] "two alternating processes show no session with a foreign runtime, and they lose no run" => processes;
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    ran(&agent_thread(&db, "a"), at("r1"), "s0").await;
    ran(&agent_thread(&db, "a"), at("r1"), "s1").await;
    let run = begun(&agent_thread(&db, "a"), at("r1")).await.attempt;
    agent_thread(&db, "a").fail(run, Failure::ContextOverflow, RunReport::default()).await.unwrap();
    ran(&agent_thread(&db, "b"), at("r1"), "sb").await;
    agent_thread(&db, "b").reset().await.unwrap();
    ran(&db.agent("h").on("a"), at("r1"), "sh").await;
    db.agent("h").drop_sessions().await.unwrap();
    ran(&agent_thread(&db, "c"), at("r2"), "sc").await;
    db.drop_runtime("r2".parse().unwrap()).await.unwrap();
    let before = binding(&agent_thread(&db, "a")).await;
    let history = agent_thread(&db, "a").history(10).await.unwrap();
    let db = rig.reopen(db).await;
    let a = agent_thread(&db, "a");
    assert_eq!((binding(&a).await, a.history(10).await.unwrap()), (before, history));
    let reason = Withheld::Poisoned(Failure::ContextOverflow);
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s0"), Some("/s0"), Some(reason)));
    assert_eq!(binding(&agent_thread(&db, "b")).await.generation, SessionGeneration::new(2));
    assert_eq!(look(&db.agent("h").on("a"), at("r1")).await.binding, None);
    assert_eq!(points(&binding(&agent_thread(&db, "c")).await), Some(("sc", None, Some("/sc"))));
}

async fn provisional(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    a.begin(a.run(at("r1")).unwrap().assigning(session("given"))).await.unwrap();
    let db = rig.reopen(db).await;
    let a = agent_thread(&db, "a");
    assert_eq!(offer(&look(&a, at("r1")).await), (None, None, Some(Withheld::Provisional)));
    rig.clock.advance(Duration::from_secs(3600));
    assert_eq!(claimed(&a, at("r1")).await.session, None);
}

async fn lease(rig: Rig) {
    let db = rig.db().await;
    let run = begun(&agent_thread(&db, "a"), at("r1")).await.attempt;
    let db = rig.reopen(db).await;
    let a = agent_thread(&db, "a");
    refused(a.begin(a.run(at("r1")).unwrap()).await, ErrorKind::Busy);
    rig.clock.advance(Duration::from_secs(60));
    ran(&a, at("r1"), "s2").await;
    refused(a.confirm(run, RunReport::of(session("s1"))).await, ErrorKind::Stale);
    let db = rig.reopen(db).await;
    assert_eq!(look(&agent_thread(&db, "a"), at("r1")).await.session, Some(session("s2")));
}

async fn reported(rig: Rig) {
    let db = rig.db().await;
    ran(&agent_thread(&db, "a"), at("r1"), "s1").await;
    let db = rig.reopen(db).await;
    assert_eq!(
        gap(&claimed(&agent_thread(&db, "a"), at("r2")).await),
        Some((Some("s1"), Withheld::RuntimeMismatch))
    );
    let db = rig.reopen(db).await;
    assert_eq!(gap(&claimed(&agent_thread(&db, "a"), at("r2")).await), None);
}

async fn handles(rig: Rig) {
    let handles = [rig.db().await, rig.db().await];
    for round in 0..10 {
        let calls = handles.clone().map(|db| {
            tokio::spawn(async move {
                let a = agent_thread(&db, "a");
                a.begin(a.run(at("r1")).unwrap()).await
            })
        });
        let mut one = Vec::new();
        for (call, db) in calls.into_iter().zip(&handles) {
            match call.await.expect("no panic") {
                Ok(run) => one.push((run, db)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            }
        }
        let Some((run, db)) = one.pop().filter(|_| one.is_empty()) else { panic!("one has the lease") };
        assert_eq!((run.number, run.resolution.session), (round + 1, (round > 0).then(|| session("s1"))));
        agent_thread(db, "a").confirm(run.attempt, RunReport::of(session("s1"))).await.unwrap();
    }
}

async fn processes(rig: Rig) {
    const EACH: u32 = 20;
    let db = rig.db().await;
    let mut processes =
        [Process::start(&rig, Role::Runs(1, EACH)), Process::start(&rig, Role::Runs(2, EACH))];
    for process in &mut processes {
        assert_eq!(process.ack().await, "ready");
    }
    for process in &mut processes {
        process.go();
    }
    let a = agent_thread(&db, "a");
    for process in processes {
        // One resolve for each run that one of the processes has ended.
        let acks = process.end().await;
        assert_eq!(acks.len(), EACH as usize);
        for _ in acks {
            let Some(binding) = look(&a, at("r1")).await.binding else { continue };
            let Some((name, runtime, directory)) = points(&binding) else { continue };
            let number = &name[1..2];
            assert_eq!((runtime, directory), (Some(&*format!("r{number}")), Some(&*format!("/{name}"))));
        }
    }
    let history = a.history(100).await.unwrap().attempts;
    let mut names: Vec<_> = history.iter().filter_map(|run| run.session.clone()).collect();
    assert_eq!(names.first(), binding(&a).await.pointer.map(|pointer| pointer.session).as_ref());
    names.sort();
    names.dedup();
    assert_eq!((history.len(), names.len()), (2 * EACH as usize, 2 * EACH as usize));
}
