//! Idempotency keys that the host derives for calls without one.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::panicked;
use crate::{Effect, IdempotencyKey, PersistArgs, Result, TenantId};

/// A write without an idempotency key: the argument of the function of [`Builder::auto_key`](crate::Builder::auto_key).
#[derive(Debug, Clone, Copy)]
pub struct Keyless<'a> {
    /// The operation, as the caller sent it.
    pub args: &'a PersistArgs,
    /// The tenant of the call.
    pub tenant: &'a TenantId,
    /// The actor, as set on the handle.
    pub actor: Option<&'a str>,
    /// The part of the host that makes the call, as set on the handle.
    pub call_site: Option<&'a str>,
}

type Derive = Arc<dyn Fn(Keyless<'_>) -> Option<IdempotencyKey> + Send + Sync>;

/// The function that derives keys, if there is one.
#[derive(Clone, Default)]
pub(crate) struct AutoKey(Option<Derive>);

impl AutoKey {
    pub(crate) fn new(
        derive: impl Fn(Keyless<'_>) -> Option<IdempotencyKey> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(derive)))
    }

    /// Derives the key of a call without one, unless its operation takes no key.
    ///
    /// # Errors
    /// The panic of the host's function. Nothing was applied.
    pub(crate) fn derive(&self, keyless: Keyless<'_>) -> Result<Option<IdempotencyKey>> {
        let Some(derive) = &self.0 else { return Ok(None) };
        let takes_key = keyless.args.kind().takes_key() && keyless.args.key_scope().is_some();
        if !takes_key {
            return Ok(None);
        }
        catch_unwind(AssertUnwindSafe(|| derive(keyless)))
            .map_err(|payload| panicked(&*payload).with_effect(Effect::NotApplied))
    }
}

impl fmt::Debug for AutoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AutoKey(..)" } else { "AutoKey" })
    }
}
