use std::{
    fmt,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::{sync::watch, time::timeout};

use super::{
    Lag, MirrorState, MirrorStatus,
    link::{Link, Step},
};
use throughline_core::{
    ErrorKind, PersistError, Persistence, Position, Result, changes::CommitNotifications, pipeline::Task,
};

/// The interval of reads without a commit notification, because another process can commit.
const LOOK: Duration = Duration::from_millis(25);

/// A running copy of a store into another one, as a task on the runtime of the first pipeline.
///
/// It holds one page of row images at a time: 500 images, or 4 MiB and one image. It retries transient failures after 100 ms to
/// 30 s. A permanent failure stops it, and the status has the reason. A drop stops it; the next start repeats the unfinished
/// page.
///
/// Only one mirror can copy into a store. Pages of a second one fail as [`Stale`](ErrorKind::Stale), and it stops.
#[must_use = "a drop stops the mirror"]
pub struct Mirror {
    stop: watch::Sender<bool>,
    status: watch::Receiver<MirrorStatus>,
    task: Task,
}

impl Mirror {
    /// Starts to copy `from` into `to`, or continues an earlier copy. An empty primary `to` becomes a replica, which refuses
    /// every other write from then on.
    ///
    /// # Errors
    /// - [`Conflict`](ErrorKind::Conflict) if `to` is a primary and not empty.
    /// - [`Unsupported`](ErrorKind::Unsupported) if a store does not support replication.
    /// - The errors of the stores.
    pub async fn start(from: Persistence, to: Persistence) -> Result<Self> {
        Ok(Self::run(Link::open(from, to).await?))
    }

    pub(super) fn run(link: Link) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (status, receiver) = watch::channel(MirrorStatus::new());
        let db = link.from.clone();
        let task = db.spawn(Worker { link, status, stopped }.run());
        Self { stop, status: receiver, task }
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> MirrorStatus {
        let mut status = self.status.borrow().clone();
        if self.task.is_finished() && !status.is_stopped() {
            let why = PersistError::new(ErrorKind::Internal, "the task of the mirror has ended");
            status.state = MirrorState::Stopped { why: Some(why) };
        }
        status
    }

    /// The lag of the replica.
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.status.borrow().lag()
    }

    /// Waits until the replica has reached this position of the primary. Returns `false` if the mirror has stopped before.
    ///
    /// # Cancel safety
    /// A dropped future has no effect on the mirror.
    pub async fn reached(&self, position: Position) -> bool {
        let mut status = self.status.clone();
        let is_there = |status: &MirrorStatus| status.carried >= position || status.is_stopped();
        match status.wait_for(is_there).await {
            Ok(status) => status.carried >= position,
            Err(_) => false,
        }
    }

    /// Finishes the current page, and stops. The store remains a replica.
    pub async fn stop(mut self) -> MirrorStatus {
        self.stop.send_replace(true);
        // A task that panicked has also stopped.
        self.task.join().await;
        self.status()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("status", &self.status()).finish_non_exhaustive()
    }
}

struct Worker {
    link: Link,
    status: watch::Sender<MirrorStatus>,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self) {
        let mut pauses = pauses();
        let mut commits = self.link.from.commit_notifications();
        while !*self.stopped.borrow() {
            if let Some(commits) = &mut commits {
                // The next step reads all commits before this point; notifications announce later ones.
                commits.mark_seen();
            }
            match self.link.step().await {
                Ok(step) => {
                    pauses = self::pauses();
                    let more = step.more;
                    self.report(step);
                    if !more {
                        self.wait(&mut commits).await;
                    }
                }
                Err(error) => {
                    let is_over = is_lasting(&error);
                    self.status.send_modify(|status| {
                        status.failures += 1;
                        status.last_failure = Some(error.clone());
                        if is_over {
                            status.state = MirrorState::Stopped { why: Some(error.clone()) };
                        }
                    });
                    if is_over {
                        return;
                    }
                    drop(timeout(pauses.next().unwrap_or(LOOK), self.stopped.changed()).await);
                    // The replica can have applied a page although its answer was lost.
                    drop(self.link.find().await);
                }
            }
        }
        self.status.send_modify(|status| status.state = MirrorState::Stopped { why: None });
    }

    fn report(&self, step: Step) {
        let Step { images, damaged, position, carried, more } = step;
        self.status.send_modify(|status| {
            status.images += images;
            (status.position, status.carried) = (position, carried);
            let free = MirrorStatus::MAX_DAMAGED.saturating_sub(status.damaged.len());
            status.damaged.extend(damaged.into_iter().take(free));
            if !more {
                status.state = MirrorState::Replicating;
                status.equal_at = Instant::now();
            }
        });
    }

    async fn wait(&mut self, commits: &mut Option<CommitNotifications>) {
        let committed = async {
            if let Some(commits) = commits
                && commits.changed().await.is_some()
            {
                return;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = committed => {}
            _ = self.stopped.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    let (first, longest) = (Duration::from_millis(100), Duration::from_secs(30));
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Whether a repeated call cannot succeed.
fn is_lasting(error: &PersistError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TooOld
            | ErrorKind::Stale
            | ErrorKind::Conflict
            | ErrorKind::NotPrimary
            | ErrorKind::Invalid
            | ErrorKind::TooLarge
            | ErrorKind::Denied
            | ErrorKind::Unsupported
            | ErrorKind::ContractViolation
    )
}
