//! A provider that keeps its sessions, and both stores.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use throughline::{
    Persistence, Timestamp,
    memory::MemoryBackend,
    sessions::{
        AgentThread, Attempt, AttemptState, Claimer, Finished, PreparedRun, Ran, Resolution, Run, RunError,
        RunFailure, Runtime, SessionRunner,
    },
    sqlite::SqliteBackend,
};
use tokio::time::Instant;

/// A clock that goes as the one of the tests does.
pub(crate) fn clock() -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let begun = Instant::now();
    move || Timestamp::from_micros(1_750_000_000_000_000).plus(begun.elapsed())
}

pub(crate) fn in_memory() -> Persistence {
    Persistence::builder().clock(clock()).backend(MemoryBackend::new()).build().unwrap()
}

/// A store of each kind.
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

/// An agent program that keeps its sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provider(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    sessions: BTreeSet<String>,
    begun: usize,
    calls: usize,
}

impl Provider {
    /// Goes on with the session of a run, or begins one, and says which.
    pub(crate) async fn work(&self, run: Run) -> Result<Finished<String>, RunFailure> {
        let session = {
            let mut kept = self.0.lock().unwrap();
            kept.calls += 1;
            match run.session() {
                Some(session) if kept.sessions.contains(session.as_str()) => session.to_string(),
                Some(_) => return Err(RunFailure::session_refused()),
                None => {
                    kept.begun += 1;
                    let session = format!("s{}", kept.begun);
                    kept.sessions.insert(session.clone());
                    session
                }
            }
        };
        run.learned(session.parse().unwrap()).await?;
        Ok(Finished::new(session))
    }

    pub(crate) fn lose(&self, session: &str) {
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

pub(crate) fn prepared<'a>(db: &Persistence, place: &AgentThread, claimer: Claimer) -> PreparedRun<'a> {
    runner(db).prepare(place.run(claimer).unwrap())
}

/// A run that goes through.
pub(crate) async fn talk(
    db: &Persistence,
    place: &AgentThread,
    claimer: Claimer,
    provider: &Provider,
) -> Ran<String> {
    prepared(db, place, claimer).run(|run| provider.work(run)).await.unwrap()
}

/// A run that ends in this failure.
pub(crate) async fn fails(
    db: &Persistence,
    place: &AgentThread,
    claimer: Claimer,
    work: impl Fn() -> RunFailure + Sync,
) -> RunError<()> {
    prepared(db, place, claimer).run(|_| async { Err(work()) }).await.unwrap_err()
}

pub(crate) async fn resolved(place: &AgentThread, claimer: Claimer) -> Resolution {
    place.resolve(claimer).await.unwrap().resolution
}

/// The session that a claim would be offered.
pub(crate) async fn offered(place: &AgentThread, claimer: Claimer) -> Option<String> {
    resolved(place, claimer).await.session.map(|session| session.to_string())
}

/// The runs, the first one first.
pub(crate) async fn history(place: &AgentThread) -> Vec<Attempt> {
    let mut attempts = place.history(100).await.unwrap().attempts;
    attempts.reverse();
    attempts
}

pub(crate) async fn states(place: &AgentThread) -> Vec<AttemptState> {
    history(place).await.into_iter().map(|attempt| attempt.state).collect()
}
