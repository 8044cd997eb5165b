use std::{fmt, sync::Arc};

use super::Capability;

/// Whose capabilities a [`ScopeLayer`](super::ScopeLayer) believes. Whoever has it can allow anything: it stays with the host, and is
/// given to nobody.
///
/// ```
/// use throughline_layers::scope::{ScopeLayer, Verb};
///
/// let authority = ScopeLayer::new().authority();
/// let writer = authority.everything().only([Verb::Read, Verb::Append]);
/// let reader = writer.read_only();
/// authority.revoke(&writer);
/// // What was narrowed from it goes with it.
/// assert!(!reader.is_live());
/// ```
#[derive(Clone)]
pub struct Authority(Arc<Seal>);

/// Nothing but an address that no other authority has.
#[derive(Default)]
pub(super) struct Seal(
    #[allow(dead_code, reason = "a type without size would have no address of its own")] u8,
);

impl Authority {
    pub(super) fn new() -> Self {
        Self(Arc::new(Seal::default()))
    }

    /// The capability to do everything, with every tenant, for ever. A new one at each call: what is revoked of one is not
    /// revoked of another.
    #[must_use]
    pub fn everything(&self) -> Capability {
        Capability::everything(self.clone())
    }

    /// Ends a capability, and every one that was narrowed from it, in every handle that bears them. Calls that were let in go
    /// on. One of another authority is left as it is.
    pub fn revoke(&self, capability: &Capability) {
        if capability.is_of(self) {
            capability.end();
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}
