//! The stack, and the two files under it.

use std::path::{Path, PathBuf};

use throughline::{
    Persistence, Phase, Result, TenantId, ThreadId,
    layers::{limits::LimitsLayer, trace::TraceLayer},
    redirect::redirect,
    sqlite::SqliteBackend,
};

use crate::tally::Tally;

/// Chats are kept in one file; what coding agents did, which is long and seldom read again, in another one beside it.
pub(crate) struct Files {
    pub(crate) main: PathBuf,
    pub(crate) agents: PathBuf,
}

impl Files {
    pub(crate) fn at(main: &Path) -> Self {
        Self { main: main.to_owned(), agents: main.with_extension("agents.db") }
    }
}

/// Which threads the redirect takes. A pure function of the name, so that every later run answers alike.
pub(crate) fn is_agents(_tenant: &TenantId, thread: &ThreadId) -> bool {
    !thread.as_str().starts_with("chat:")
}

pub(crate) struct Stores {
    /// Everything is written and read through this one.
    pub(crate) db: Persistence,
    /// Where the redirect leads. Held only to look at what it did, and to be closed.
    pub(crate) agents: Persistence,
    /// The counters, from the outside in.
    pub(crate) tallies: Vec<Tally>,
}

impl Stores {
    /// Opens both files, or makes them. A run is a tenant of its own, so that the same files can be used again.
    pub(crate) async fn open(files: &Files, run: &TenantId) -> Result<Self> {
        let mut tallies = Vec::new();
        let mut tally = |name, phase| {
            tallies.push(Tally::new(name, phase));
            tallies[tallies.len() - 1].clone()
        };
        let before_limits = tally("before limits", Phase::Admit);
        let before_trace = tally("before trace", Phase::Observe);
        let before_redirect = tally("before redirect", Phase::Route);
        let before_main = tally("before the main file", Phase::Route);
        let before_agents = tally("before the agents' file", Phase::Route);

        // The file that was named comes first: where it is refused, no other one is made.
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
        Ok(Self { db: db.for_tenant(run.clone()), agents: agents.for_tenant(run.clone()), tallies })
    }

    /// Waits for everything in flight, and lets go of the files.
    pub(crate) async fn close(&self) -> Result<()> {
        self.db.close().await?;
        self.agents.close().await
    }
}
