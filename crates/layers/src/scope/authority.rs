use std::{fmt, sync::Arc};

use super::Capability;

/// The issuer of the capabilities that a [`ScopeLayer`](super::ScopeLayer) accepts. Its holder can allow everything, so
/// it stays with the host.
///
/// ```
/// use throughline_layers::scope::{ScopeLayer, Verb};
///
/// let authority = ScopeLayer::new().authority();
/// let writer = authority.everything().only([Verb::Read, Verb::Append]);
/// let reader = writer.read_only();
/// authority.revoke(&writer);
/// // Revokes the narrowed capabilities too.
/// assert!(!reader.is_live());
/// ```
#[derive(Clone)]
pub struct Authority(Arc<Seal>);

/// An identity: its address is unique to the authority.
#[derive(Default)]
pub(super) struct Seal(
    #[allow(dead_code, reason = "a type without size would have no address of its own")] u8,
);

impl Authority {
    pub(super) fn new() -> Self {
        Self(Arc::new(Seal::default()))
    }

    /// Returns a capability for everything, in every tenant, without expiry. Each call creates an independent
    /// capability, which is revoked separately.
    #[must_use]
    pub fn everything(&self) -> Capability {
        Capability::everything(self.clone())
    }

    /// Revokes a capability and every capability that was narrowed from it, in all handles. Admitted calls continue. A
    /// capability of another authority is not affected.
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
