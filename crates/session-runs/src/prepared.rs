use std::{fmt, future::Future, pin::Pin, time::Duration};

use tokio::time::Instant;

use super::{
    Finished, Ran, Run, RunError, RunFailure,
    begin::{Asked, Way},
    end::{self, AtWork},
    lease::Start,
};
use throughline_core::{
    Persistence,
    contain::catch_future,
    ids::AttemptId,
    sessions::BeginRun,
    sessions::{Reach, Resolution},
};

/// What a host looks at before it goes on.
pub(super) type Looking<'a> =
    Box<dyn Fn(Resolution) -> Pin<Box<dyn Future<Output = Reach> + Send + 'a>> + Send + Sync + 'a>;

/// A run that is begun when its closure is given to it.
#[must_use = "nothing happens before `run`"]
pub struct PreparedRun<'a> {
    db: Persistence,
    begin: BeginRun,
    wait: Duration,
    grace: Duration,
    asked: Asked<'a>,
    looking: Option<Looking<'a>>,
}

impl<'a> PreparedRun<'a> {
    pub(super) fn new(db: Persistence, begin: BeginRun, wait: Duration, grace: Duration) -> Self {
        Self { db, begin, wait, grace, asked: Asked::never(), looking: None }
    }

    /// Stops when this future ends: a run that waits does not begin, one that has begun is told and, when its time is up, dropped.
    /// What it has learned by then is gone on with.
    pub fn until(mut self, signal: impl Future<Output = ()> + Send + 'a) -> Self {
        self.asked = Asked::when(signal);
        self
    }

    /// Looks at the directory and the session before it goes on with them, and says what was found: whether it is the same
    /// directory, and whether what keeps the session has it. The run begins on exactly that, or it is looked again.
    ///
    /// It is not asked where there is neither a session nor a directory, nor where the run itself
    /// [expects](BeginRun::expecting) a revision: then the host has looked already.
    pub fn looking<F, L>(mut self, look: L) -> Self
    where
        L: Fn(Resolution) -> F + Send + Sync + 'a,
        F: Future<Output = Reach> + Send + 'a,
    {
        self.looking = Some(Box::new(move |resolution| Box::pin(look(resolution))));
        self
    }

    /// Begins the run, calls `work` with it, and ends it.
    ///
    /// `work` is called once, or twice where its session was refused. It must not block: the lease is kept by another task, but nothing
    /// can stop what does not come back to its `.await`s.
    ///
    /// # Errors
    /// [`RunError`] says whether it began, what became of it and of its writes.
    ///
    /// # Cancel safety
    /// Dropped, the closure is dropped with it. A run that had begun is then cancelled by a task of the pipeline's, at once: it keeps
    /// what it had learned, and the next in line begins afterwards. Where that task cannot reach the store, or the runtime of
    /// the pipeline ends with it, the lease ends by itself. A run whose closure was done already is seen through.
    pub async fn run<T, F, W>(self, mut work: W) -> Result<Ran<T>, RunError<T>>
    where
        W: FnMut(Run) -> F + Send,
        F: Future<Output = Result<Finished<T>, RunFailure>> + Send,
        T: Send,
    {
        let Self { db, begin, wait, grace, mut asked, looking } = self;
        let limit = Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + FAR);
        let way = Way { db, looking, limit };
        let mut start = Start { begin, grace, refused: None };
        let place = way.enter(&start, &mut asked).await.map_err(RunError::NotBegun)?;
        let mut held = way.begin(start.clone(), place, &mut asked).await.map_err(RunError::NotBegun)?;
        loop {
            let run = Run(held.shared().clone());
            let theirs = catch_future(async { work(run).await });
            let at_work = end::at_work(held.shared(), theirs, &mut asked).await;
            let failure = match at_work {
                AtWork::Finished(finished) => return end::confirm(held, finished, start.refused).await,
                AtWork::Panicked(message) => return Err(end::panicked(held, message).await),
                AtWork::Dropped => return Err(end::stopped(held, None).await),
                AtWork::Failed(failure) => failure,
            };
            let again = end::refused(&held, &failure).filter(|_| start.refused.is_none());
            let shared = held.shared().clone();
            let (error, kept) = end::failed(held, failure).await;
            let (Some(session), Some((place, revision))) = (again, kept) else { return Err(error) };
            let resolution = &shared.begun.resolution;
            let claimer = &mut start.begin.claimer;
            claimer.generation = Some(resolution.generation);
            claimer.force_fresh = true;
            start.begin.attempt = AttemptId::mint();
            start.begin.work_dir = Run(shared.clone()).work_dir().cloned();
            start.begin.expected = Some(revision);
            start.refused = Some(session);
            held = match way.begin(start.clone(), place, &mut asked).await {
                Ok(held) => held,
                // Another process was there in between, or the host has had enough: the first failure stands.
                Err(_) => return Err(error),
            };
        }
    }
}

/// A wait that is too long to be told.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl fmt::Debug for PreparedRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedRun")
            .field("begin", &self.begin)
            .field("wait", &self.wait)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
