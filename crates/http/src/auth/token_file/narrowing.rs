//! How a line becomes a capability of the layer `scope`.

use std::{fmt, time::Duration};

use super::line::Line;
use crate::auth::Caller;

/// Revokes the capability of a token.
pub(super) type Revoke = Box<dyn Fn() + Send + Sync>;

/// The authority of the layer `scope`, if the pipeline has the layer.
#[derive(Clone, Default)]
pub(super) struct Narrowing {
    #[cfg(feature = "scope")]
    authority: Option<throughline_layers::scope::Authority>,
}

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Narrowing(..)")
    }
}

impl Narrowing {
    #[cfg(feature = "scope")]
    pub(super) const fn of(authority: throughline_layers::scope::Authority) -> Self {
        Self { authority: Some(authority) }
    }

    /// Gives the caller of a line its capability, which ends after `left`. `None` if the line has a restriction that nothing
    /// enforces.
    pub(super) fn apply(
        &self,
        caller: Caller,
        line: &Line,
        left: Option<Duration>,
    ) -> Option<(Caller, Revoke)> {
        #[cfg(feature = "scope")]
        if let Some(authority) = &self.authority {
            let mut capability = authority.everything().of_tenant(line.tenant.clone());
            if let Some(thread) = &line.thread {
                capability = capability.in_thread(thread.clone());
            }
            if let Some(prefix) = &line.threads_under {
                capability = capability.in_threads_under(prefix);
            }
            if let Some(verbs) = &line.verbs {
                capability = capability.only(verbs.iter().copied());
            }
            if let Some(left) = left {
                capability = capability.expiring_in(left);
            }
            let authority = authority.clone();
            let revoked = capability.clone();
            return Some((caller.with_credential(capability), Box::new(move || authority.revoke(&revoked))));
        }
        // Without a capability, the file itself compares the time.
        let _ = left;
        (!line.is_restricted()).then(|| (caller, Box::new(|| {}) as Revoke))
    }
}
