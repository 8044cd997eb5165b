use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::RequireKeyService;
use throughline_core::{
    Effect, ErrorKind, OpKind, PersistArgs, PersistError, PersistRequest, Result,
    pipeline::{Described, Phase, SiteSpec},
};

type Needs = Arc<dyn Fn(&PersistArgs) -> bool + Send + Sync>;

/// Refuses writes without an idempotency key. See the [module](super).
#[derive(Clone)]
pub struct RequireKeyLayer {
    needs: Needs,
}

impl RequireKeyLayer {
    /// Requires a key for writes of these kinds, alone and as items of a batch.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = OpKind>) -> Self {
        let kinds: Vec<OpKind> = kinds.into_iter().collect();
        Self::when(move |args| kinds.contains(&args.kind()))
    }

    /// Requires a key for writes for which `needs` returns true. It receives each item of a batch, but never the batch
    /// itself.
    #[must_use]
    pub fn when(needs: impl Fn(&PersistArgs) -> bool + Send + Sync + 'static) -> Self {
        Self { needs: Arc::new(needs) }
    }

    pub(super) fn check(&self, request: &PersistRequest) -> Result<()> {
        let PersistRequest { args, context } = request;
        let takes_key = args.kind().takes_key() && args.key_scope().is_some();
        if context.idempotency().is_some() || !takes_key {
            return Ok(());
        }
        let Some(index) = args.each().position(|one| (self.needs)(one)) else { return Ok(()) };
        let refused = |operation: &str| {
            let article = if operation.starts_with(['a', 'i', 'u']) { "an" } else { "a" };
            let detail = format!("{article} `{operation}` needs an idempotency key");
            PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied)
        };
        Err(match args {
            PersistArgs::Batch(batch) => refused(batch.items[index].kind().as_str()).with_batch_index(index),
            one => refused(one.kind().as_str()),
        })
    }
}

impl fmt::Debug for RequireKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequireKeyLayer")
    }
}

impl Described for RequireKeyLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("require-key", Phase::Guard).with_rank(50)
    }
}

impl<S> Layer<S> for RequireKeyLayer {
    type Service = RequireKeyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireKeyService::new(inner, self.clone())
    }
}
