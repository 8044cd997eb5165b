//! Adoption of the sessions of another store.

use throughline_core::{
    ErrorKind, Persistence, Timestamp,
    sessions::{AdoptSession, AdoptedPointer, AdoptedRun, AttemptState, Failure, SessionChanged, Withheld},
};

use super::{agent_thread, at, binding, dir, look, offer, points, ran, runtime, session};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{refused, thread_id},
};

checks! {
    Extended "sessions.backfill_sets_the_runtime_of_the_latest_run_once" ("MU-S4") [Session Read] "a backfill sets the runtime of a pointer once, if the latest run with a session produced that session" => backfill;
    Extended "sessions.own_run_wins_over_an_adopted_pointer" ("MU-S3") [Session Read] "an adopted pointer without a runtime yields to a run of the claimer's runtime" => adopted;
    Extended "sessions.threadless_session_is_adopted_once" ("TC-S12") [Session Read] "an isolated thread adopts a session without a thread once, and no other thread gets it" => adopt_once;
}

fn pointer(name: &str, at_runtime: Option<&str>) -> AdoptedPointer {
    AdoptedPointer {
        session: session(name),
        provider: "p".parse().unwrap(),
        runtime: at_runtime.map(runtime),
        work_dir: Some(dir("/old")),
    }
}

fn run(id: &str, name: Option<&str>, at_runtime: Option<&str>, state: AttemptState) -> AdoptedRun {
    AdoptedRun {
        id: id.parse().unwrap(),
        provider: "p".parse().unwrap(),
        runtime: at_runtime.map(runtime),
        session: name.map(session),
        work_dir: Some(dir(&format!("/{id}"))),
        state,
        started_at: Timestamp::from_micros(1),
        ended_at: Some(Timestamp::from_micros(2)),
    }
}

async fn adopt(
    db: &Persistence,
    thread: &str,
    pointer: Option<AdoptedPointer>,
    runs: Vec<AdoptedRun>,
) -> throughline_core::Result<SessionChanged> {
    db.on_session(AdoptSession { agent: "g".parse().unwrap(), thread: thread_id(thread), pointer, runs })
        .await
}

async fn backfill(rig: Rig) {
    let db = rig.db().await;
    let done = AttemptState::Completed;
    let poisoned = AttemptState::Failed(Failure::ContextOverflow);
    for (thread, runs, filled) in [
        (
            "newer",
            vec![run("a", Some("old"), Some("r1"), done), run("b", Some("new"), Some("r2"), done)],
            None,
        ),
        (
            "failed",
            vec![run("a", Some("old"), Some("r1"), done), run("b", Some("new"), Some("r2"), poisoned)],
            None,
        ),
        (
            "same",
            vec![run("a", Some("new"), Some("r2"), done), run("b", Some("old"), Some("r1"), done)],
            Some("r1"),
        ),
        (
            "silent",
            vec![run("a", Some("old"), Some("r1"), done), run("b", None, Some("r2"), done)],
            Some("r1"),
        ),
        ("nowhere", vec![run("a", Some("old"), None, done)], None),
        ("nothing", vec![], None),
    ] {
        let here = agent_thread(&db, thread);
        adopt(&db, thread, Some(pointer("old", None)), runs).await.unwrap();
        let before = binding(&here).await;
        assert_eq!(points(&before), Some(("old", None, Some("/old"))));
        let dry = here.backfill_runtime(true).await.unwrap();
        assert_eq!((dry.runtime, dry.written), (filled.map(runtime), false), "{thread}");
        assert_eq!(binding(&here).await, before, "a dry run writes nothing");
        let wet = here.backfill_runtime(false).await.unwrap();
        assert_eq!((wet.runtime, wet.written), (filled.map(runtime), filled.is_some()), "{thread}");
        let after = binding(&here).await;
        assert_eq!(points(&after), Some(("old", filled, Some("/old"))), "{thread}");
        let again = here.backfill_runtime(false).await.unwrap();
        assert_eq!((again.runtime, again.written), (None, false), "{thread}");
        assert_eq!(binding(&here).await, after);
    }
    // A pointer that names one is left alone, and so is nothing.
    ran(&agent_thread(&db, "named"), at("r1"), "s1").await;
    assert!(!agent_thread(&db, "named").backfill_runtime(false).await.unwrap().written);
    assert_eq!(agent_thread(&db, "none").backfill_runtime(false).await.unwrap().runtime, None);
}

async fn adopted(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let runs = vec![
        run("first", Some("s1"), Some("r1"), AttemptState::Completed),
        run("last", None, None, AttemptState::Running),
    ];
    adopt(&db, "a", Some(pointer("old", None)), runs).await.unwrap();
    let offered = look(&a, at("r1")).await;
    assert_eq!((offered.session, offered.work_dir), (Some(session("s1")), Some(dir("/first"))));
    assert_eq!(offer(&look(&a, at("r2")).await), (None, Some("/old"), Some(Withheld::RuntimeMismatch)));
    let states: Vec<_> = a.history(10).await.unwrap().attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Lapsed, AttemptState::Completed]);
    // With a runtime it is a pointer as any other.
    adopt(&db, "b", Some(pointer("old", Some("r1"))), Vec::new()).await.unwrap();
    assert_eq!(offer(&look(&agent_thread(&db, "b"), at("r1")).await), (Some("old"), Some("/old"), None));
    ran(&agent_thread(&db, "b"), at("r1"), "s2").await;
    assert_eq!(look(&agent_thread(&db, "b"), at("r1")).await.session, Some(session("s2")));
}

async fn adopt_once(rig: Rig) {
    let db = rig.db().await;
    let alone = db.agent("g").isolated();
    let scope = alone.thread().unwrap().as_str().to_owned();
    let runs = || vec![run("first", Some("old"), Some("r1"), AttemptState::Completed)];
    adopt(&db, &scope, Some(pointer("old", Some("r1"))), runs()).await.unwrap();
    let before = binding(&alone).await;
    refused(adopt(&db, &scope, Some(pointer("other", None)), Vec::new()).await, ErrorKind::AlreadyExists);
    assert_eq!(binding(&alone).await, before);
    assert_eq!(look(&agent_thread(&db, "a"), at("r1")).await.binding, None);
    let twice = runs().into_iter().chain(runs()).collect();
    refused(adopt(&db, "b", None, twice).await, ErrorKind::Invalid);
    assert_eq!(look(&agent_thread(&db, "b"), at("r1")).await.binding, None);
}
