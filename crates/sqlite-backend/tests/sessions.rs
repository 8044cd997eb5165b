//! Agent sessions in the file: damage is detected and named, and the leftovers of a deleted thread are freed.

use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Effect, ErrorKind, NewMessage, Persistence, ThreadId,
    sessions::{AgentThread, AttemptState, Claimer, RunReport, Runtime},
    threads::PurgeThread,
};
use throughline_sqlite::{Maintenance, Part, SqliteBackend};

struct Store {
    _directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

/// Returns the agent `g` in the thread `t` with two runs, of which the latest is the pointer, a reset agent and a
/// dropped runtime.
async fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let store = Store { _directory: directory, path, maintenance, db };
    run(&store.agent_thread(), "s1").await;
    run(&store.agent_thread(), "s2").await;
    store.db.agent("h").reset_all().await.unwrap();
    store.db.drop_runtime("old".parse().unwrap()).await.unwrap();
    store
}

impl Store {
    fn agent_thread(&self) -> AgentThread {
        self.db.agent("g").on("t")
    }

    fn execute(&self, sql: &str) -> usize {
        Connection::open(&self.path).unwrap().execute(sql, []).unwrap()
    }

    fn rows(&self, table: &str) -> i64 {
        let connection = Connection::open(&self.path).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

fn claimer() -> Claimer {
    Claimer::new("p".parse().unwrap(), Runtime::new("r".parse().unwrap(), "root".parse().unwrap()))
}

async fn run(agent_thread: &AgentThread, session: &str) {
    let run = agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap();
    agent_thread.confirm(run.attempt, RunReport::of(session.parse().unwrap())).await.unwrap();
}

#[tokio::test]
async fn a_sound_store_reports_the_numbers_of_its_rows() {
    let store = store().await;
    let found = store.maintenance.verify().await.unwrap();
    assert!(found.is_sound(), "{:?}", found.damaged);
    assert_eq!((found.sessions, found.attempts), (1, 2));
}

#[tokio::test]
async fn every_table_has_checksums_and_damaged_sessions_are_not_offered() {
    for (damage, is_met) in [
        ("UPDATE session_heads SET head = replace(head, '\"s2\"', '\"s1\"')", true),
        ("UPDATE session_heads SET head = '{}'", true),
        ("UPDATE session_known SET known = replace(known, '\"r\"', '\"x\"') WHERE session = 's2'", true),
        ("UPDATE session_known SET number = 9 WHERE session = 's1'", false),
        ("UPDATE session_known SET usable = 0 WHERE session = 's1'", false),
        (
            "UPDATE session_attempts SET record = replace(record, 'completed', 'cancelled') WHERE number = 1",
            false,
        ),
        ("UPDATE session_agents SET resets = 0", false),
        ("UPDATE session_runtimes SET incarnation = 0", false),
    ] {
        let store = store().await;
        assert_eq!(store.execute(damage), 1, "{damage}");
        let found = store.maintenance.verify().await.unwrap();
        let parts: Vec<_> = found.damaged.iter().map(|damage| damage.part).collect();
        assert_eq!(parts, [Part::Session], "{damage}: {:?}", found.damaged);
        if is_met {
            let error = store.agent_thread().resolve(claimer()).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{damage}");
            let error =
                store.agent_thread().begin(store.agent_thread().run(claimer()).unwrap()).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{damage}");
        }
        // Other threads are not affected.
        run(&store.db.agent("g").on("u"), "s3").await;
    }
    let store = store().await;
    store.execute("UPDATE session_attempts SET record = '{}' WHERE number = 1");
    assert_eq!(store.agent_thread().history(10).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.agent_thread().history(1).await.unwrap().attempts.len(), 1);
}

#[tokio::test]
async fn a_run_that_meets_damage_at_its_end_stays_running() {
    let store = store().await;
    let agent_thread = store.agent_thread();
    let run = agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap().attempt;
    let damage = |from: &str, to: &str| {
        store.execute(&format!(
            "UPDATE session_known SET known = replace(known, '{from}', '{to}') WHERE session = 's2'"
        ))
    };
    assert_eq!(damage("\"r\"", "\"x\""), 1);
    // In one transaction with other writes, so that it is committed.
    let others = (0..50).map(|_| {
        let db = store.db.clone();
        tokio::spawn(async move { drop(db.thread("other").add(NewMessage::user("x")).await.unwrap()) })
    });
    let others: Vec<_> = others.collect();
    let report = || RunReport::of("s2".parse().unwrap());
    let error = agent_thread.confirm(run.clone(), report()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(agent_thread.history(1).await.unwrap().attempts[0].state, AttemptState::Running);
    assert_eq!(damage("\"x\"", "\"r\""), 1);
    agent_thread.confirm(run, report()).await.unwrap();
}

#[tokio::test]
async fn leftovers_of_a_deleted_thread_are_freed_in_short_steps() {
    let store = store().await;
    run(&store.db.agent("g").on("u"), "s3").await;
    store.db.thread("t").delete_thread().await.unwrap();
    assert_eq!((store.rows("session_heads"), store.rows("session_attempts")), (2, 3));
    let mut steps = 0;
    loop {
        let thread: ThreadId = "t".parse().unwrap();
        steps += 1;
        if !store.db.on_thread(PurgeThread { thread, limit: 1 }).await.unwrap().more {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps");
    let left = ["session_heads", "session_known", "session_attempts"].map(|table| store.rows(table));
    assert_eq!(left, [1, 1, 1]);
    assert!(store.maintenance.verify().await.unwrap().is_sound());
}
