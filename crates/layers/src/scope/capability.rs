use std::{
    fmt, iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{Authority, Verb, demand::Demand, verb::Verbs};
use throughline_core::{PersistArgs, TenantId, ThreadId, operations::Reach};

/// The operations, threads and tenants that its bearer may use. See the [module](super).
///
/// A clone is the same capability. Each narrowing method returns a new capability and does not change this one.
/// Narrowing to something that was not allowed before allows nothing.
///
/// ```
/// use std::time::Duration;
/// use throughline_layers::scope::{ScopeLayer, Verb};
///
/// let everything = ScopeLayer::new().authority().everything();
/// let alice = everything.of_tenant("alice".parse()?);
/// let guest = alice.in_threads_under("shared/").only([Verb::Read, Verb::Append]).expiring_in(Duration::from_secs(3600));
/// assert!(guest.is_live());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Capability(Arc<Grant>);

/// One narrowing. A call must be allowed by all grants of a capability, so none can widen it.
struct Grant {
    authority: Authority,
    from: Option<Capability>,
    limit: Limit,
    revoked: AtomicBool,
}

#[derive(Debug)]
enum Limit {
    Nothing,
    Tenant(TenantId),
    Thread(ThreadId),
    Prefix(Box<str>),
    Verbs(Verbs),
    Until(Instant),
    /// A duration beyond the range of the clock.
    Never,
}

impl Capability {
    pub(super) fn everything(authority: Authority) -> Self {
        Self(Arc::new(Grant {
            authority,
            from: None,
            limit: Limit::Nothing,
            revoked: AtomicBool::new(false),
        }))
    }

    fn narrowed(&self, limit: Limit) -> Self {
        let authority = self.0.authority.clone();
        Self(Arc::new(Grant { authority, from: Some(self.clone()), limit, revoked: AtomicBool::new(false) }))
    }

    /// Narrows to this tenant.
    #[must_use]
    pub fn of_tenant(&self, tenant: TenantId) -> Self {
        self.narrowed(Limit::Tenant(tenant))
    }

    /// Narrows to this thread.
    #[must_use]
    pub fn in_thread(&self, thread: ThreadId) -> Self {
        self.narrowed(Limit::Thread(thread))
    }

    /// Narrows to the threads whose ids begin with `prefix` and have no segment `.` or `..`. An empty prefix allows
    /// every id without such a segment.
    #[must_use]
    pub fn in_threads_under(&self, prefix: &str) -> Self {
        self.narrowed(Limit::Prefix(prefix.into()))
    }

    /// Narrows to these verbs.
    #[must_use]
    pub fn only(&self, verbs: impl IntoIterator<Item = Verb>) -> Self {
        self.narrowed(Limit::Verbs(verbs.into_iter().collect()))
    }

    /// Narrows to [reading](Verb::Read).
    #[must_use]
    pub fn read_only(&self) -> Self {
        self.only([Verb::Read])
    }

    /// Narrows to [appending](Verb::Append): existing messages can be neither read nor changed.
    #[must_use]
    pub fn append_only(&self) -> Self {
        self.only([Verb::Append])
    }

    /// Narrows to this period from now on, by a monotonic clock. An admitted call continues after the expiry.
    #[must_use]
    pub fn expiring_in(&self, time: Duration) -> Self {
        self.narrowed(Instant::now().checked_add(time).map_or(Limit::Never, Limit::Until))
    }

    /// Returns true if the capability is neither revoked nor expired.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.dead().is_none()
    }

    pub(super) fn is_of(&self, authority: &Authority) -> bool {
        self.0.authority.is(authority)
    }

    pub(super) fn end(&self) {
        self.0.revoked.store(true, Ordering::Release);
    }

    /// Returns the reason why it does not allow the call.
    pub(super) fn refuses(&self, tenant: &TenantId, args: &PersistArgs) -> Option<Refusal> {
        if let Some(dead) = self.dead() {
            return Some(dead);
        }
        let is_another = |grant: &Grant| matches!(&grant.limit, Limit::Tenant(only) if only != tenant);
        if self.lineage().any(is_another) {
            return Some(Refusal::Tenant);
        }
        Demand::of(args).find_map(|demand| self.refusal(&demand))
    }

    fn refusal(&self, demand: &Demand<'_>) -> Option<Refusal> {
        self.lineage().find_map(|grant| grant.limit.refusal(demand))
    }

    fn dead(&self) -> Option<Refusal> {
        self.lineage().find_map(|grant| match grant.limit {
            _ if grant.revoked.load(Ordering::Acquire) => Some(Refusal::Revoked),
            Limit::Until(end) if end <= Instant::now() => Some(Refusal::Expired),
            _ => None,
        })
    }

    /// Returns its own grant and the grants that it was narrowed from.
    fn lineage(&self) -> impl Iterator<Item = &Grant> {
        iter::successors(Some(&*self.0), |grant| grant.from.as_ref().map(|from| &*from.0))
    }
}

impl Limit {
    fn refusal(&self, demand: &Demand<'_>) -> Option<Refusal> {
        let is_allowed = match (self, demand.reach) {
            (Self::Verbs(verbs), _) => {
                return (!verbs.contains(demand.verb)).then_some(Refusal::Verb(demand.verb));
            }
            (Self::Tenant(_), Reach::Store) => return Some(Refusal::Store),
            (Self::Thread(only), Reach::Thread(thread)) => thread == only,
            (Self::Prefix(prefix), Reach::Thread(thread)) => is_under(prefix, thread.as_str()),
            (Self::Thread(_) | Self::Prefix(_), Reach::Tenant | Reach::Store) => {
                return Some(Refusal::EveryThread);
            }
            (Self::Nothing | Self::Until(_) | Self::Never | Self::Tenant(_), _) => true,
        };
        (!is_allowed).then_some(Refusal::Thread)
    }
}

fn is_under(prefix: &str, thread: &str) -> bool {
    let segments = || thread.split(['/', '\\']);
    thread.len() > prefix.len()
        && thread.starts_with(prefix)
        && !segments().any(|segment| matches!(segment, "." | ".."))
}

/// The reason of a refusal. It describes the capability, and reveals nothing about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Revoked,
    Expired,
    Tenant,
    Store,
    EveryThread,
    Thread,
    Verb(Verb),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("the capability was revoked"),
            Self::Expired => f.write_str("the capability has expired"),
            Self::Tenant => f.write_str("the capability is for another tenant"),
            Self::Store => f.write_str("the capability is not for the store as a whole"),
            Self::EveryThread => f.write_str("the capability is not for every thread of the tenant"),
            Self::Thread => f.write_str("the capability is not for this thread"),
            Self::Verb(verb) => write!(f, "the capability does not allow to {verb}"),
        }
    }
}

/// Prints the restrictions, but nothing that would allow a call.
impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits =
            self.lineage().map(|grant| &grant.limit).filter(|limit| !matches!(limit, Limit::Nothing));
        f.debug_list().entries(limits).finish()
    }
}
