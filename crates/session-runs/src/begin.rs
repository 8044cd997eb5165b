//! The way to the beginning of a run: the line of this process, a look, and the lease.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Permit, RunQueue,
    lease::{self, Held, Start},
    prepared::Looking,
};
use throughline_core::{
    Effect, ErrorKind, OpKind, PersistError, Persistence, Result, sessions::ResolveSession,
    sessions::SessionRevision,
};

/// How often it is tried whether the run of another process has ended.
const TRIED_EVERY: Duration = Duration::from_millis(250);

/// The host's wish that a run stops.
pub(super) struct Asked<'a>(Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>, bool);

impl<'a> Asked<'a> {
    pub(super) const fn never() -> Self {
        Self(None, false)
    }

    pub(super) fn when(signal: impl Future<Output = ()> + Send + 'a) -> Self {
        Self(Some(Box::pin(signal)), false)
    }

    /// Ends when the host has asked, each time it is waited for.
    pub(super) async fn wait(&mut self) {
        if self.1 {
            return;
        }
        match &mut self.0 {
            Some(signal) => signal.await,
            None => std::future::pending().await,
        }
        (self.0, self.1) = (None, true);
    }
}

/// What is needed to begin a run.
pub(super) struct Way<'a> {
    pub(super) db: Persistence,
    pub(super) looking: Option<Looking<'a>>,
    pub(super) limit: Instant,
}

impl Way<'_> {
    /// Waits for the earlier runs of this process.
    pub(super) async fn enter(&self, start: &Start, asked: &mut Asked<'_>) -> Result<Permit> {
        let key = (self.db.tenant().clone(), start.begin.agent.clone(), start.begin.thread.clone());
        let queue = self.db.shared_state::<RunQueue>();
        tokio::select! {
            biased;
            () = asked.wait() => Err(asked_before()),
            entered = timeout_at(self.limit, queue.0.acquire([key])) => entered.map_err(|_| {
                let detail = format!(
                    "the runs of the agent `{}` in the thread `{}` took too long",
                    start.begin.agent, start.begin.thread
                );
                PersistError::new(ErrorKind::Busy, detail)
                    .with_effect(Effect::NotApplied)
                    .at_the_edge(OpKind::Session)
            }),
        }
    }

    /// Begins the run as soon as no other one of the agent in the thread is alive, here or elsewhere.
    pub(super) async fn begin(
        &self,
        mut start: Start,
        mut permit: Permit,
        asked: &mut Asked<'_>,
    ) -> Result<Held> {
        let expected = start.begin.expected;
        loop {
            let looked = match &self.looking {
                Some(looking) if expected.is_none() => {
                    let seen = tokio::select! {
                        biased;
                        () = asked.wait() => return Err(asked_before()),
                        seen = self.look(looking, &mut start) => seen?,
                    };
                    Some(seen)
                }
                _ => None,
            };
            let begun = tokio::select! {
                biased;
                () = asked.wait() => return Err(asked_before()),
                begun = lease::begin(&self.db, start.clone(), permit) => begun,
            };
            let (error, back) = match begun {
                Ok(held) => return Ok(held),
                Err(not_begun) => not_begun,
            };
            let Some(back) = back else { return Err(error) };
            permit = back;
            if error.effect() != Effect::NotApplied {
                return Err(error);
            }
            match error.kind() {
                ErrorKind::Busy => {
                    let again = Instant::now() + TRIED_EVERY;
                    if again > self.limit {
                        return Err(error);
                    }
                    tokio::select! {
                        () = asked.wait() => return Err(asked_before()),
                        () = sleep_until(again) => {}
                    }
                }
                // What was looked at is not what is there any more.
                ErrorKind::Stale if self.has_moved(&start, looked).await? => {}
                _ => return Err(error),
            }
        }
    }

    /// Looks at what would be gone on with.
    async fn look(&self, looking: &Looking<'_>, start: &mut Start) -> Result<SessionRevision> {
        start.begin.claimer.reach = Default::default();
        let resolution = self.db.read(self.resolve(start)).await?.resolution;
        let revision = resolution.revision;
        if resolution.session.is_some() || resolution.work_dir.is_some() {
            start.begin.claimer.reach = looking(resolution).await;
        }
        start.begin.expected = Some(revision);
        Ok(revision)
    }

    async fn has_moved(&self, start: &Start, looked: Option<SessionRevision>) -> Result<bool> {
        let Some(looked) = looked else { return Ok(false) };
        Ok(self.db.read(self.resolve(start)).await?.resolution.revision != looked)
    }

    fn resolve(&self, start: &Start) -> ResolveSession {
        let begin = &start.begin;
        ResolveSession {
            agent: begin.agent.clone(),
            thread: begin.thread.clone(),
            claimer: (*begin.claimer).clone(),
        }
    }
}

fn asked_before() -> PersistError {
    PersistError::new(ErrorKind::Cancelled, "the run was asked to stop before it began")
        .with_effect(Effect::NotApplied)
        .at_the_edge(OpKind::Session)
}
