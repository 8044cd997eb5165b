//! Agent sessions: the words that their checks are written in.

pub(super) mod adopt;
pub(super) mod durable;
pub(super) mod health;
pub(super) mod history;
pub(super) mod lease;
pub(super) mod random;
pub(super) mod resolve;
pub(super) mod scope;
pub(super) mod turn;
pub(super) mod whole;

use throughline_core::{
    Persistence,
    ids::{SessionId, WorkDir},
    sessions::{AgentThread, Binding, Claimer, Gap, Resolution, RunBegun, RunReport, Runtime, Withheld},
};

pub(super) fn session(text: &str) -> SessionId {
    text.parse().expect("a valid id")
}

pub(super) fn dir(text: &str) -> WorkDir {
    text.parse().expect("a valid directory")
}

pub(super) fn runtime(name: &str) -> Runtime {
    Runtime::new(name.parse().expect("a valid id"), "root".parse().expect("a valid id"))
}

/// A claimer of the provider `p` there.
pub(super) fn at(name: &str) -> Claimer {
    Claimer::new("p".parse().expect("a valid id"), runtime(name))
}

/// The agent `g` in a thread.
pub(super) fn agent_thread(db: &Persistence, thread: &str) -> AgentThread {
    db.agent("g").on(thread)
}

/// The session that a claimer is offered.
pub(super) async fn look(agent_thread: &AgentThread, claimer: Claimer) -> Resolution {
    agent_thread.resolve(claimer).await.expect("a look").resolution
}

/// Session, directory and reason of an answer.
pub(super) fn offer(resolution: &Resolution) -> (Option<&str>, Option<&str>, Option<Withheld>) {
    let session = resolution.session.as_ref().map(SessionId::as_str);
    (session, resolution.work_dir.as_ref().map(WorkDir::as_str), resolution.withheld)
}

/// The gap of an answer.
pub(super) fn gap(resolution: &Resolution) -> Option<(Option<&str>, Withheld)> {
    let Gap { session, reason } = resolution.gap.as_ref()?;
    Some((session.as_ref().map(SessionId::as_str), *reason))
}

/// Begins a run.
pub(super) async fn begun(agent_thread: &AgentThread, claimer: Claimer) -> RunBegun {
    agent_thread.begin(agent_thread.run(claimer).expect("valid ids")).await.expect("it begins")
}

/// A whole run that succeeds on this session, in the directory of the same name with a `/` before.
pub(super) async fn ran(agent_thread: &AgentThread, claimer: Claimer, name: &str) -> Binding {
    let run = begun(agent_thread, claimer).await;
    let report = RunReport::of(session(name)).in_directory(dir(&format!("/{name}")));
    let changed = agent_thread.confirm(run.attempt, report).await.expect("it is confirmed");
    *changed.binding
}

/// Begins a run, cancels it immediately, and returns its resolution.
pub(super) async fn claimed(agent_thread: &AgentThread, claimer: Claimer) -> Resolution {
    let run = begun(agent_thread, claimer).await;
    agent_thread.cancel(run.attempt, RunReport::default()).await.expect("it is stopped");
    run.resolution
}

/// Where a binding points: session, runtime and directory.
pub(super) fn points(binding: &Binding) -> Option<(&str, Option<&str>, Option<&str>)> {
    let pointer = binding.pointer.as_ref()?;
    let runtime = pointer.runtime.as_ref().map(|runtime| runtime.id.as_str());
    Some((pointer.session.as_str(), runtime, pointer.work_dir.as_ref().map(WorkDir::as_str)))
}

/// The stored state of an agent in a thread.
pub(super) async fn binding(agent_thread: &AgentThread) -> Binding {
    *look(agent_thread, at("r1")).await.binding.expect("something is kept")
}
