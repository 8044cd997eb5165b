//! The host: starts the agent for each prompt, and lets a `SessionRunner` decide which session it resumes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use throughline::{
    NewMessage, Persistence, ThreadId,
    messages::Add,
    runs::{Run, RunError, RunFailure, RunSuccess, SessionRunner},
    sessions::{BeginRun, Claimer, Directory, Failure as Why, HandOff, Reach, Runtime},
    sqlite::SqliteBackend,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::{
    Failure,
    agent::{AgentEvent, Prompt},
    table::Row,
};

/// The lease of a run. It is short to keep the example fast; a host keeps the default of one minute.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A host over one store, with a folder for the sessions of each machine.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) db: Persistence,
    runner: SessionRunner,
    folder: PathBuf,
}

/// A prompt of a user to an agent.
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

    /// Returns the folder in which a machine keeps the sessions of the agent.
    pub(crate) fn sessions(&self, machine: &str) -> PathBuf {
        self.folder.join(machine)
    }

    fn claimer(machine: &str) -> Result<Claimer, Failure> {
        Ok(Claimer::new("stub".parse()?, Runtime::new(machine.parse()?, "root-1".parse()?)))
    }

    /// Describes the next run: in the known working directory, or in a new one.
    async fn describe_run(&self, task: &Task<'_>, origin: Option<HandOff>) -> Result<BeginRun, Failure> {
        let agent = self.db.agent(task.agent);
        let agent_thread = origin.map_or_else(|| agent.on(task.thread), |origin| agent.handed_off(origin));
        let claimer = Self::claimer(task.machine)?;
        let seen = agent_thread.resolve(claimer.clone()).await?.resolution;
        let begin = agent_thread.run(claimer)?.with_lease(LEASE);
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

    /// Runs a task that another agent hands off.
    pub(crate) async fn run_handed_off(&self, task: Task<'_>, origin: HandOff) -> Result<Row, Failure> {
        self.run_until(task, Some(origin), std::future::pending(), || {}).await
    }

    /// Runs a task until `stop` completes. Calls `pinned` when the agent has reported its session.
    pub(crate) async fn run_until(
        &self,
        task: Task<'_>,
        origin: Option<HandOff>,
        stop: impl Future<Output = ()> + Send,
        pinned: impl Fn() + Sync,
    ) -> Result<Row, Failure> {
        let thread: ThreadId = task.thread.parse()?;
        self.db.thread(&thread).add(NewMessage::user(task.text)).await?;
        let begin = self.describe_run(&task, origin).await?;
        let sessions = self.sessions(task.machine);
        fs::create_dir_all(&sessions)?;
        let mut row = Row::of(task);
        let row_of = std::sync::Mutex::new(&mut row);
        let ran = self
            .runner
            .prepare(begin)
            .until(stop)
            .check_reach(async |seen| {
                // The host checks the directory. Only the agent can check its session, so the host reports none as missing.
                let is_gone = seen.work_dir.is_some_and(|dir| !Path::new(dir.as_str()).is_dir());
                let directory = if is_gone { Directory::Gone } else { Directory::Same };
                Reach { directory, session_missing: false }
            })
            .run(|run| {
                if let Ok(mut row) = row_of.lock() {
                    row.record_begin(&run);
                }
                let (thread, sessions, pinned) = (thread.clone(), &sessions, &pinned);
                async move {
                    let (text, remembers) = work(&run, sessions, task.text, pinned).await?;
                    // The answer and the session pointer are one commit.
                    Ok(RunSuccess::new(remembers).with_write(Add::new(thread, NewMessage::assistant(&text))))
                }
            })
            .await;
        match ran {
            Ok(ran) => row.record_confirmation(&ran),
            Err(RunError::NotBegun(error)) => return Err(error.into()),
            Err(RunError::Failed { failure, .. }) => row.ended = format!("failed ({})", failure.failure()),
            Err(RunError::Stopped { .. }) => row.ended = "stopped".to_owned(),
            Err(other) => return Err(other.into()),
        }
        Ok(row)
    }
}

/// Starts the agent, and reports its events to the run.
async fn work(
    run: &Run,
    sessions: &Path,
    text: &str,
    pinned: &(impl Fn() + Sync),
) -> Result<(String, usize), RunFailure> {
    let offline = |error: io::Error| RunFailure::new(Why::RuntimeOffline).with_cause(error);
    // `kill_on_drop` ends the agent when the run is dropped.
    let mut agent = Command::new(std::env::current_exe().map_err(offline)?)
        .arg("agent")
        .arg(sessions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(offline)?;
    let prompt = Prompt {
        resume: run.session().map(ToString::to_string),
        dir: run.work_dir().map(ToString::to_string),
        text: text.to_owned(),
    };
    let (mut input, output) = (agent.stdin.take(), agent.stdout.take());
    let (Some(input), Some(output)) = (&mut input, output) else { return Err(RunFailure::new(Why::Other)) };
    let line = serde_json::to_string(&prompt).map_err(io::Error::from).map_err(offline)?;
    input.write_all(format!("{line}\n").as_bytes()).await.map_err(offline)?;
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(offline)?,
            reason = run.stop_requested() => return Err(RunFailure::new(Why::Other).with_cause(reason.to_string())),
        };
        let Some(line) = line else {
            return Err(RunFailure::new(Why::RuntimeOffline).with_cause("the agent ended without an answer"));
        };
        match serde_json::from_str(&line).map_err(io::Error::from).map_err(offline)? {
            AgentEvent::Refused => return Err(RunFailure::session_refused()),
            AgentEvent::Session(session) => {
                run.pin_session(session.parse()?).await?;
                pinned();
            }
            AgentEvent::Tool(_) => run.record_tool_call(),
            AgentEvent::Answer { text, remembers } => return Ok((text, remembers)),
        }
    }
}
