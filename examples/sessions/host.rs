//! The host: starts the agent, and leaves it to a runner which session it resumes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use throughline::{
    NewMessage, Persistence, ThreadId,
    messages::Add,
    sessions::{
        BeginRun, Claimer, Directory, Failure as Why, Finished, HandOff, Reach, Run, RunError, RunFailure,
        Runtime, SessionRunner,
    },
    sqlite::SqliteBackend,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::{
    Failure,
    agent::{Prompt, Says},
    table::Row,
};

/// How long a host is taken to be alive without a sign of it. One that is not an example leaves it at a minute.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A host over a store, with what its machines keep.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) db: Persistence,
    runner: SessionRunner,
    folder: PathBuf,
}

/// What a user says to an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) scene: &'static str,
    pub(crate) agent: &'a str,
    pub(crate) thread: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) text: &'a str,
}

impl Host {
    pub(crate) async fn open(folder: &Path) -> Result<Self, Failure> {
        let db =
            Persistence::builder().backend(SqliteBackend::open(folder.join("host.db")).await?).build()?;
        Ok(Self { runner: SessionRunner::new(db.clone()), db, folder: folder.to_owned() })
    }

    /// Where a machine keeps the sessions of the agent program.
    pub(crate) fn sessions(&self, machine: &str) -> PathBuf {
        self.folder.join(machine)
    }

    fn claimer(machine: &str) -> Result<Claimer, Failure> {
        Ok(Claimer::new("stub".parse()?, Runtime::new(machine.parse()?, "root-1".parse()?)))
    }

    /// A run, in the directory that is known or one of its own.
    async fn begin(&self, task: &Task<'_>, origin: Option<HandOff>) -> Result<BeginRun, Failure> {
        let agent = self.db.agent(task.agent);
        let place = origin.map_or_else(|| agent.on(task.thread), |origin| agent.handed_off(origin));
        let claimer = Self::claimer(task.machine)?;
        let seen = place.resolve(claimer.clone()).await?.resolution;
        let begin = place.run(claimer)?.with_lease(LEASE);
        if seen.work_dir.is_some() {
            return Ok(begin);
        }
        let dir = self.folder.join("work").join(format!("{}-{}", task.agent, task.thread.replace(':', "-")));
        fs::create_dir_all(&dir)?;
        Ok(begin.in_directory(dir.to_str().ok_or("a folder without a name")?.parse()?))
    }

    /// Runs a task to its end.
    pub(crate) async fn run(&self, task: Task<'_>) -> Result<Row, Failure> {
        self.run_until(task, None, std::future::pending(), || {}).await
    }

    /// The same, as work that another agent hands on.
    pub(crate) async fn hand_on(&self, task: Task<'_>, origin: HandOff) -> Result<Row, Failure> {
        self.run_until(task, Some(origin), std::future::pending(), || {}).await
    }

    /// The same, until it is stopped; says when the agent has said its session.
    pub(crate) async fn run_until(
        &self,
        task: Task<'_>,
        origin: Option<HandOff>,
        stop: impl Future<Output = ()> + Send,
        learned: impl Fn() + Sync,
    ) -> Result<Row, Failure> {
        let thread: ThreadId = task.thread.parse()?;
        self.db.thread(&thread).add(NewMessage::user(task.text)).await?;
        let begin = self.begin(&task, origin).await?;
        let sessions = self.sessions(task.machine);
        fs::create_dir_all(&sessions)?;
        let mut row = Row::of(task);
        let row_of = std::sync::Mutex::new(&mut row);
        let ran = self
            .runner
            .prepare(begin)
            .until(stop)
            .looking(async |seen| {
                // Whether the session is there is for the agent to say. The directory is the host's.
                let is_gone = seen.work_dir.is_some_and(|dir| !Path::new(dir.as_str()).is_dir());
                let directory = if is_gone { Directory::Gone } else { Directory::Same };
                Reach { directory, session_missing: false }
            })
            .run(|run| {
                if let Ok(mut row) = row_of.lock() {
                    row.begun(&run);
                }
                let (thread, sessions, learned) = (thread.clone(), &sessions, &learned);
                async move {
                    let (text, remembers) = work(&run, sessions, task.text, learned).await?;
                    // What was answered and where to go on are one commit.
                    Ok(Finished::new(remembers).writing(Add::new(thread, NewMessage::assistant(&text))))
                }
            })
            .await;
        match ran {
            Ok(ran) => row.confirmed(&ran),
            Err(RunError::NotBegun(error)) => return Err(error.into()),
            Err(RunError::Failed { failure, .. }) => row.ended = format!("failed ({})", failure.failure()),
            Err(RunError::Stopped { .. }) => row.ended = "stopped".to_owned(),
            Err(other) => return Err(other.into()),
        }
        Ok(row)
    }
}

/// Starts the agent, and tells the run what it says.
async fn work(
    run: &Run,
    sessions: &Path,
    text: &str,
    learned: &(impl Fn() + Sync),
) -> Result<(String, usize), RunFailure> {
    let gone = |error: io::Error| RunFailure::new(Why::RuntimeOffline).because(error);
    // It ends with the run: dropped, it is killed.
    let mut agent = Command::new(std::env::current_exe().map_err(gone)?)
        .arg("agent")
        .arg(sessions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(gone)?;
    let prompt = Prompt {
        resume: run.session().map(ToString::to_string),
        dir: run.work_dir().map(ToString::to_string),
        text: text.to_owned(),
    };
    let (mut asks, says) = (agent.stdin.take(), agent.stdout.take());
    let (Some(asks), Some(says)) = (&mut asks, says) else { return Err(RunFailure::new(Why::Other)) };
    let line = serde_json::to_string(&prompt).map_err(io::Error::from).map_err(gone)?;
    asks.write_all(format!("{line}\n").as_bytes()).await.map_err(gone)?;
    let mut lines = BufReader::new(says).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(gone)?,
            why = run.stopped() => return Err(RunFailure::new(Why::Other).because(why.to_string())),
        };
        let Some(line) = line else {
            return Err(RunFailure::new(Why::RuntimeOffline).because("the agent ended without an answer"));
        };
        match serde_json::from_str(&line).map_err(io::Error::from).map_err(gone)? {
            Says::Refused => return Err(RunFailure::session_refused()),
            Says::Session(session) => {
                run.learned(session.parse()?).await?;
                learned();
            }
            Says::Tool(_) => run.tool_ran(),
            Says::Answer { text, remembers } => return Ok((text, remembers)),
        }
    }
}
