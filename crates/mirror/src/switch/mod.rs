//! A backend over two stores of which one leads.

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

/// Two stores of which one leads and the other follows, and the change between them under a host that goes on writing.
///
/// The host mounts [`backend`](Self::backend) once and keeps its one pipeline; layers that encrypt or redact stand in that. The stores
/// are pipelines on a backend alone, and stay the host's: it closes them after its own.
///
/// Which store leads is kept in the stores. A process that still writes to the other one is refused as [`NotPrimary`](ErrorKind::NotPrimary), so
/// that nothing is written beside; one that has a switch of its own finds out and writes to the right one.
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
/// Neither of these keeps anything.
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
    /// Writes hold it shared, and a change of the leader alone.
    switch_lock: RwLock<()>,
    mirror: Mutex<Option<ActiveMirror>>,
    commits: CommitNotifier,
}

/// A follower that was begun, and the store that it follows.
struct ActiveMirror {
    from: usize,
    mirror: Mirror,
}

impl Switch {
    /// Finds out which store is_primary. Where neither does, because a process ended in the middle of a change, nothing was written since, and
    /// the one that led before leads again.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) where both lead and have something in them; [`Unsupported`](ErrorKind::Unsupported) where a store cannot be
    /// copied; what the stores answer.
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

    /// The store that leads: 0 for the first, 1 for the second.
    #[must_use]
    pub fn primary(&self) -> usize {
        self.shared.primary.load(SeqCst)
    }

    /// Begins to copy the store that leads into the other, which has to be empty or to have followed before. Where that is done
    /// already it goes on.
    ///
    /// # Errors
    /// As for [`Mirror::start`].
    pub async fn follow(&self) -> Result<()> {
        let mut mirror = self.shared.mirror.lock().await;
        self.shared.follow(&mut mirror).await
    }

    /// How it stands with the follower; nothing where none was begun.
    pub async fn status(&self) -> Option<MirrorStatus> {
        self.shared.mirror.lock().await.as_ref().map(|active| active.mirror.status())
    }

    /// How far the follower is behind; nothing where none was begun.
    pub async fn lag(&self) -> Option<Lag> {
        self.shared.mirror.lock().await.as_ref().map(|active| active.mirror.lag())
    }

    /// Stops following. Which store leads stays as it is.
    pub async fn stop(&self) {
        let active = self.shared.mirror.lock().await.take();
        if let Some(active) = active {
            active.mirror.stop().await;
        }
    }

    /// Makes the second store lead: see [`switch_back`](Self::switch_back) for the way back.
    ///
    /// It waits until the follower is equal; holds new writes; lets those that are under way end; carries what is left; tells the first store
    /// to follow and the second to lead, which both keep; lets the writes go on; and follows in the other direction. Reads go on
    /// all the time. Messages that are open stay open, and their writers notice nothing.
    ///
    /// `timeout` is how long it waits for the follower, and how long it holds writes, each. Where that does not do, or a store
    /// fails before the second one leads, it goes back: the first goes on leading, and is followed.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) where it went back for time; [`Conflict`](ErrorKind::Conflict) where the second store leads already or
    /// does not follow; [`Busy`](ErrorKind::Busy) while another change is under way; [`Stale`](ErrorKind::Stale) where another process came
    /// before; what the stores answer. With the effect
    /// `NotApplied` the first store leads. With any other it is not known which leads until the stores can be asked:
    /// [`Switch::open`] asks them.
    ///
    /// # Cancel safety
    /// Dropped, it runs to its end all the same.
    pub async fn switch_over(&self, timeout: Duration) -> Result<Switched> {
        self.change(0, timeout).await
    }

    /// Makes the first store lead again, in the same way.
    ///
    /// # Errors
    /// As for [`switch_over`](Self::switch_over), with the stores the other way round.
    ///
    /// # Cancel safety
    /// Dropped, it runs to its end all the same.
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

    /// Finds out which store leads by now: another process may have changed it. Nothing where neither does for the moment.
    async fn look(&self) -> Result<Option<usize>> {
        let primary = found::primary(&self.stores).await?;
        if let Some(primary) = primary {
            self.primary.store(primary, SeqCst);
        }
        Ok(primary)
    }

    /// Begins to follow the store that leads, unless that is done.
    async fn follow(&self, mirror: &mut Option<ActiveMirror>) -> Result<()> {
        self.look().await?;
        let from = self.primary.load(SeqCst);
        if mirror.as_ref().is_some_and(|has| has.from == from && !has.mirror.status().is_stopped()) {
            return Ok(());
        }
        // One that followed the store which another process has told to follow carries nothing any more.
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
