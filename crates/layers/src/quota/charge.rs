use std::sync::Arc;

use super::{Quota, QuotaLayer, account::Cost, tenants::Tenants};
use throughline_core::{Context, Effect};

/// The tokens that a call took. A write returns them if its caller drops it before it reaches the store. Every answered
/// call pays, whatever its answer, and so does a forwarded read.
#[derive(Debug)]
pub(super) struct Charge(Option<ChargedCall>);

#[derive(Debug)]
struct ChargedCall {
    tenants: Arc<Tenants>,
    context: Context,
    cost: Cost,
    quota: Quota,
}

impl Charge {
    pub(super) fn new(layer: &QuotaLayer, context: &Context, cost: Cost, quota: Quota) -> Self {
        let is_free = quota == Quota::new() || !context.kind().is_write();
        Self((!is_free).then(|| ChargedCall {
            tenants: Arc::clone(&layer.tenants),
            context: context.clone(),
            cost,
            quota,
        }))
    }

    /// Keeps the tokens, because the call was answered.
    pub(super) fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(ChargedCall { tenants, context, cost, quota }) = self.0.take()
            && context.effect_so_far() == Effect::NotApplied
        {
            tenants.refund(context.tenant(), cost, &quota);
        }
    }
}
