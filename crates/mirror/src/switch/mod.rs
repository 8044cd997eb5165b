//! A backend over a primary and a replica.

mod backend;
mod change;
mod found;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::{Mutex, RwLock};

pub use self::{backend::SwitchBackend, change::Switched};
use super::{Lag, Mirror, MirrorStatus};
use throughline_core::{Effect, ErrorKind, PersistError, Persistence, Result, changes::CommitNotifier};

/// A primary and a replica, and the switchover between them while the host writes.
///
/// The host uses [`backend`](Self::backend) in its one pipeline; layers that encrypt or redact belong to that pipeline. The two
/// stores are pipelines without layers. The host owns them, and closes them after its own pipeline.
///
/// The stores keep the role themselves. A process that still writes to the former primary gets
/// [`NotPrimary`](ErrorKind::NotPrimary), so that no write reaches the former primary. A process with its own switch finds the new primary and
/// repeats the call there.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere(&'static str);
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { self.0 }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use throughline_core::{ErrorKind, Persistence};
/// use throughline_mirror::Switch;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let old = Persistence::builder().backend(Nowhere("old")).build()?;
/// let new = Persistence::builder().backend(Nowhere("new")).build()?;
/// // These backends support no operation.
/// assert_eq!(Switch::open(old, new).await.unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Switch {
    shared: Arc<Shared>,
}

struct Shared {
    stores: [Persistence; 2],
    primary: AtomicUsize,
    /// Calls hold it shared, and a switchover holds it exclusively.
    switch_lock: RwLock<()>,
    mirror: Mutex<Option<ActiveMirror>>,
    commits: CommitNotifier,
}

/// A running mirror, and the index of its primary.
struct ActiveMirror {
    from: usize,
    mirror: Mirror,
}

impl Switch {
    /// Finds the primary. If both stores are replicas, because a process ended during a switchover, nothing was written since,
    /// and the former primary becomes the primary again.
    ///
    /// # Errors
    /// - [`Conflict`](ErrorKind::Conflict) if both are primaries and not empty.
    /// - [`Unsupported`](ErrorKind::Unsupported) if a store does not support replication.
    /// - The errors of the stores.
    pub async fn open(first: Persistence, second: Persistence) -> Result<Self> {
        let stores = [first, second];
        let primary = found::settle(&stores, 0).await?;
        let shared = Shared {
            stores,
            primary: AtomicUsize::new(primary),
            switch_lock: RwLock::new(()),
            mirror: Mutex::new(None),
            commits: CommitNotifier::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The backend for the pipeline of the host.
    #[must_use]
    pub fn backend(&self) -> SwitchBackend {
        SwitchBackend::new(Arc::clone(&self.shared))
    }

    /// The index of the primary: 0 for the first store, 1 for the second.
    #[must_use]
    pub fn primary(&self) -> usize {
        self.shared.primary.load(SeqCst)
    }

    /// Starts a mirror from the primary to the other store, which must be empty or a replica. Does nothing if a mirror is
    /// running.
    ///
    /// # Errors
    /// The errors of [`Mirror::start`].
    /// As for [`Mirror::start`].
    pub async fn follow(&self) -> Result<()> {
        let mut mirror = self.shared.mirror.lock().await;
        self.shared.follow(&mut mirror).await
    }

    /// The status of the mirror. `None` if none was started.
    pub async fn status(&self) -> Option<MirrorStatus> {
        self.shared.mirror.lock().await.as_ref().map(|active| active.mirror.status())
    }

    /// The lag of the replica. `None` if no mirror was started.
    pub async fn lag(&self) -> Option<Lag> {
        self.shared.mirror.lock().await.as_ref().map(|active| active.mirror.lag())
    }

    /// Stops the mirror. The roles of the stores do not change.
    pub async fn stop(&self) {
        let active = self.shared.mirror.lock().await.take();
        if let Some(active) = active {
            active.mirror.stop().await;
        }
    }

    /// Makes the second store the primary. See [`switch_back`](Self::switch_back) for the other direction.
    ///
    /// The switchover waits until the replica has caught up, holds new writes, and waits for running writes. It then copies the
    /// remaining changes, changes the roles in both stores, releases the writes, and starts a mirror in the other direction.
    /// Reads continue during the switchover. Open messages stay open for their writers.
    ///
    /// `timeout` limits the wait for the replica, the wait for running writes, and the time for which writes are held, each. If
    /// it expires, or a store fails before the second one is the primary, the first store stays the primary and its mirror starts
    /// again.
    ///
    /// # Errors
    /// - [`Timeout`](ErrorKind::Timeout) if `timeout` has expired.
    /// - [`Conflict`](ErrorKind::Conflict) if the second store is already the primary, or is not a replica.
    /// - [`Busy`](ErrorKind::Busy) during another switchover.
    /// - [`Stale`](ErrorKind::Stale) if another process switched the primary first.
    /// - The errors of the stores.
    ///
    /// With the effect `NotApplied`, the first store is the primary. With another effect the primary is unknown until the stores
    /// can be reached; [`Switch::open`] finds it.
    ///
    /// # Cancel safety
    /// A dropped future does not cancel the switchover.
    pub async fn switch_over(&self, timeout: Duration) -> Result<Switched> {
        self.change(0, timeout).await
    }

    /// Makes the first store the primary again, in the same way.
    ///
    /// # Errors
    /// The errors of [`switch_over`](Self::switch_over), with the stores exchanged.
    ///
    /// # Cancel safety
    /// A dropped future does not cancel the switchover.
    pub async fn switch_back(&self, timeout: Duration) -> Result<Switched> {
        self.change(1, timeout).await
    }

    async fn change(&self, from: usize, timeout: Duration) -> Result<Switched> {
        let shared = Arc::clone(&self.shared);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let work = async move { drop(answer.send(shared.change(from, timeout).await)) };
        drop(self.shared.stores[0].spawn(work));
        answered.await.unwrap_or_else(|_| {
            let error = PersistError::new(ErrorKind::Internal, "the switchover has ended early");
            Err(error.with_effect(Effect::Unknown))
        })
    }
}

impl Shared {
    fn primary_store(&self) -> &Persistence {
        &self.stores[self.primary.load(SeqCst)]
    }

    /// Finds the current primary, which another process can have switched. `None` if both are replicas at the moment.
    async fn look(&self) -> Result<Option<usize>> {
        let primary = found::primary(&self.stores).await?;
        if let Some(primary) = primary {
            self.primary.store(primary, SeqCst);
        }
        Ok(primary)
    }

    /// Starts a mirror from the primary, unless it is running.
    async fn follow(&self, mirror: &mut Option<ActiveMirror>) -> Result<()> {
        self.look().await?;
        let from = self.primary.load(SeqCst);
        if mirror.as_ref().is_some_and(|has| has.from == from && !has.mirror.status().is_stopped()) {
            return Ok(());
        }
        // A mirror of a store that another process has made a replica copies nothing any longer.
        if let Some(other) = mirror.take() {
            other.mirror.stop().await;
        }
        let started = Mirror::start(self.stores[from].clone(), self.stores[1 - from].clone()).await?;
        *mirror = Some(ActiveMirror { from, mirror: started });
        Ok(())
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("primary", &self.primary()).finish_non_exhaustive()
    }
}
