//! Keys that the host derives for calls that have none.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::panicked;
use crate::{Effect, IdempotencyKey, PersistArgs, Result, TenantId};

/// A write without an idempotency key, as [`Builder::auto_key`](crate::Builder::auto_key) asks about it.
#[derive(Debug, Clone, Copy)]
pub struct Keyless<'a> {
    /// The operation, as the caller sent it.
    pub args: &'a PersistArgs,
    /// Whose call it is.
    pub tenant: &'a TenantId,
    /// On whose behalf the host acts, as the handle was told.
    pub actor: Option<&'a str>,
    /// From which part of the host the call comes, as the handle was told.
    pub call_site: Option<&'a str>,
}

type Derive = Arc<dyn Fn(Keyless<'_>) -> Option<IdempotencyKey> + Send + Sync>;

/// How keys are derived, if they are.
#[derive(Clone, Default)]
pub(crate) struct AutoKey(Option<Derive>);

impl AutoKey {
    pub(crate) fn new(
        derive: impl Fn(Keyless<'_>) -> Option<IdempotencyKey> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(derive)))
    }

    /// The key of a call that was given none. Not asked for what takes no key.
    ///
    /// # Errors
    /// A panic of the host's function: nothing was applied.
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
