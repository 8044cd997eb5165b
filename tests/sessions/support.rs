//! A fake provider that keeps its sessions, and a store of each kind.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use throughline::{
    Persistence, Timestamp,
    memory::MemoryBackend,
    runs::{CompletedRun, PreparedRun, Run, RunError, RunFailure, RunSuccess, SessionRunner},
    sessions::{AgentThread, Attempt, AttemptState, Claimer, Resolution, Runtime},
    sqlite::SqliteBackend,
};
use tokio::time::Instant;

/// A clock that follows the time of tokio, which tests can pause.
pub(crate) fn clock() -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let begun = Instant::now();
    move || Timestamp::from_micros(1_750_000_000_000_000).plus(begun.elapsed())
}

pub(crate) fn in_memory() -> Persistence {
    Persistence::builder().clock(clock()).backend(MemoryBackend::new()).build().unwrap()
}

/// Returns a store of each kind.
pub(crate) async fn stores() -> [Persistence; 2] {
    let sqlite = SqliteBackend::temporary().await.unwrap();
    [in_memory(), Persistence::builder().backend(sqlite).build().unwrap()]
}

pub(crate) fn on(runtime: &str, root: &str) -> Claimer {
    let runtime = Runtime::new(runtime.parse().unwrap(), root.parse().unwrap());
    Claimer::new("claude".parse().unwrap(), runtime)
}

pub(crate) fn laptop() -> Claimer {
    on("laptop", "root-1")
}

/// A fake agent program that keeps its sessions in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provider(Arc<Mutex<ProviderState>>);

#[derive(Debug, Default)]
struct ProviderState {
    sessions: BTreeSet<String>,
    begun: usize,
    calls: usize,
}

impl Provider {
    /// Resumes the session of the run, or creates one. Returns its id.
    pub(crate) async fn work(&self, run: Run) -> Result<RunSuccess<String>, RunFailure> {
        let session = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            match run.session() {
                Some(session) if state.sessions.contains(session.as_str()) => session.to_string(),
                Some(_) => return Err(RunFailure::session_refused()),
                None => {
                    state.begun += 1;
                    let session = format!("s{}", state.begun);
                    state.sessions.insert(session.clone());
                    session
                }
            }
        };
        run.pin_session(session.parse().unwrap()).await?;
        Ok(RunSuccess::new(session))
    }

    pub(crate) fn forget(&self, session: &str) {
        self.0.lock().unwrap().sessions.remove(session);
    }

    pub(crate) fn begun(&self) -> usize {
        self.0.lock().unwrap().begun
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }
}

pub(crate) fn runner(db: &Persistence) -> SessionRunner {
    SessionRunner::new(db.clone())
}

pub(crate) fn prepared<'a>(
    db: &Persistence,
    agent_thread: &AgentThread,
    claimer: Claimer,
) -> PreparedRun<'a> {
    runner(db).prepare(agent_thread.run(claimer).unwrap())
}

/// Completes a run.
pub(crate) async fn run_once(
    db: &Persistence,
    agent_thread: &AgentThread,
    claimer: Claimer,
    provider: &Provider,
) -> CompletedRun<String> {
    prepared(db, agent_thread, claimer).run(|run| provider.work(run)).await.unwrap()
}

/// Fails a run.
pub(crate) async fn fails(
    db: &Persistence,
    agent_thread: &AgentThread,
    claimer: Claimer,
    work: impl Fn() -> RunFailure + Sync,
) -> RunError<()> {
    prepared(db, agent_thread, claimer).run(|_| async { Err(work()) }).await.unwrap_err()
}

pub(crate) async fn resolved(agent_thread: &AgentThread, claimer: Claimer) -> Resolution {
    agent_thread.resolve(claimer).await.unwrap().resolution
}

/// Returns the session that a claimer would resume.
pub(crate) async fn offered(agent_thread: &AgentThread, claimer: Claimer) -> Option<String> {
    resolved(agent_thread, claimer).await.session.map(|session| session.to_string())
}

/// Returns all attempts, oldest first.
pub(crate) async fn history(agent_thread: &AgentThread) -> Vec<Attempt> {
    let mut attempts = agent_thread.history(100).await.unwrap().attempts;
    attempts.reverse();
    attempts
}

pub(crate) async fn states(agent_thread: &AgentThread) -> Vec<AttemptState> {
    history(agent_thread).await.into_iter().map(|attempt| attempt.state).collect()
}
