//! The stack of layers, and the two SQLite files below it.

use std::path::{Path, PathBuf};

use throughline::{
    Persistence, Phase, Result, TenantId, ThreadId,
    layers::{limits::LimitsLayer, trace::TraceLayer},
    redirect::redirect,
    sqlite::SqliteBackend,
};

use crate::counter::CallCounter;

/// The paths of the two files: chats are in `main`, and the longer sessions of coding agents are in `agents`.
pub(crate) struct Files {
    pub(crate) main: PathBuf,
    pub(crate) agents: PathBuf,
}

impl Files {
    pub(crate) fn at(main: &Path) -> Self {
        Self { main: main.to_owned(), agents: main.with_extension("agents.db") }
    }
}

/// Decides which threads the redirect sends to the agents' file. The decision depends only on the thread id, so it is
/// the same in every later run.
pub(crate) fn is_agents(_tenant: &TenantId, thread: &ThreadId) -> bool {
    !thread.as_str().starts_with("chat:")
}

pub(crate) struct Stores {
    /// The pipeline: all reads and writes of this example go through it.
    pub(crate) db: Persistence,
    /// The target of the redirect. The example uses it directly only to verify the redirect and to close the file.
    pub(crate) agents: Persistence,
    /// The counters, from the outermost to the innermost.
    pub(crate) counters: Vec<CallCounter>,
}

impl Stores {
    /// Opens or creates both files. Each run has its own tenant, so several runs can share the files.
    pub(crate) async fn open(files: &Files, run: &TenantId) -> Result<Self> {
        let mut counters = Vec::new();
        let mut counter = |name, phase| {
            counters.push(CallCounter::new(name, phase));
            counters[counters.len() - 1].clone()
        };
        let before_limits = counter("before limits", Phase::Admit);
        let before_trace = counter("before trace", Phase::Observe);
        let before_redirect = counter("before redirect", Phase::Route);
        let before_main = counter("before the main file", Phase::Route);
        let before_agents = counter("before the agents' file", Phase::Route);

        // Open the main file first: if that fails, the other file is not created.
        let main = SqliteBackend::open(&files.main).await?;
        let agents = Persistence::builder()
            .plugin(before_agents)
            .backend(SqliteBackend::open(&files.agents).await?)
            .build()?;
        let db = Persistence::builder()
            .plugin(before_limits)
            .layer(LimitsLayer::new())
            .plugin(before_trace)
            .layer(TraceLayer::new())
            .plugin(before_redirect)
            .layer(redirect("redirect", is_agents, agents.clone()))
            .plugin(before_main)
            .backend(main)
            .build()?;
        Ok(Self { db: db.for_tenant(run.clone()), agents: agents.for_tenant(run.clone()), counters })
    }

    /// Waits for all calls in flight, then closes both files.
    pub(crate) async fn close(&self) -> Result<()> {
        self.db.close().await?;
        self.agents.close().await
    }
}
