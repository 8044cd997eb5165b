use std::sync::Arc;

use super::{Quota, QuotaLayer, account::Weight, tenants::Tenants};
use throughline_core::{Context, Effect};

/// What a call has taken. It is given back when its caller leaves before anything was handed to the store: then it is as if
/// there had been no call. What was answered is paid for, whatever the answer, and so is a read that was passed on.
#[derive(Debug)]
pub(super) struct Charge(Option<Taken>);

#[derive(Debug)]
struct Taken {
    tenants: Arc<Tenants>,
    context: Context,
    weight: Weight,
    quota: Quota,
}

impl Charge {
    pub(super) fn new(layer: &QuotaLayer, context: &Context, weight: Weight, quota: Quota) -> Self {
        let is_free = quota == Quota::new() || !context.kind().is_write();
        Self((!is_free).then(|| Taken {
            tenants: Arc::clone(&layer.tenants),
            context: context.clone(),
            weight,
            quota,
        }))
    }

    /// The call has answered.
    pub(super) fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(Taken { tenants, context, weight, quota }) = self.0.take()
            && context.effect_so_far() == Effect::NotApplied
        {
            tenants.give_back(context.tenant(), weight, &quota);
        }
    }
}
