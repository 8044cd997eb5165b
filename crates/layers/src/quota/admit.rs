//! Admits or refuses calls by their quota.

use super::{
    QuotaLayer, Stored,
    account::{RateExceeded, Resource},
    charge::Charge,
    cost::cost_of,
    tenants::Refused,
};
use throughline_core::{Effect, ErrorKind, PersistError, PersistRequest, Result, TenantId};

impl QuotaLayer {
    /// Takes the cost of the call from its tenant's buckets, or refuses the call.
    pub(super) fn admit(&self, request: &PersistRequest) -> Result<Charge> {
        let PersistRequest { args, context } = request;
        let tenant = context.tenant();
        let cost = cost_of(args, context.idempotency().map(|idempotency| &idempotency.key));
        if let Some(stored) = &self.stored
            && request.grows()
        {
            check_stored(tenant, stored(tenant), cost.bytes)?;
        }
        let quota = (self.quotas)(tenant);
        let must = args.settles() && !args.brings_content();
        self.tenants.take(tenant, cost, &quota, must).map_err(|refused| refusal(tenant, refused))?;
        Ok(Charge::new(self, context, cost, quota))
    }
}

fn check_stored(tenant: &TenantId, stored: Stored, bytes: u64) -> Result<()> {
    let Stored { used, allowed } = stored;
    if used.saturating_add(bytes) <= allowed {
        return Ok(());
    }
    let detail =
        format!("tenant `{tenant}` stores {used} bytes of the {allowed} allowed, and asked to add {bytes}");
    Err(PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied))
}

fn refusal(tenant: &TenantId, refused: Refused) -> PersistError {
    let (kind, detail, after) = match refused {
        Refused::TooManyTenants { after } => {
            let detail = format!("tenant `{tenant}` was refused: too many other tenants are busy");
            (ErrorKind::Overloaded, detail, Some(after))
        }
        Refused::RateExceeded(RateExceeded { resource, asked, rate, after }) => {
            let resource = match resource {
                Resource::Operations => "operations",
                Resource::Bytes => "bytes",
            };
            let (per_second, burst) = (rate.per_second, rate.burst);
            match after {
                Some(_) => {
                    let detail = format!(
                        "tenant `{tenant}` asked for {asked} {resource} beyond its {per_second} a second and {burst} at once"
                    );
                    (ErrorKind::Overloaded, detail, after)
                }
                None => {
                    let detail = format!(
                        "tenant `{tenant}` asked for {asked} {resource} in one call, and may have {burst} at once"
                    );
                    (ErrorKind::TooLarge, detail, None)
                }
            }
        }
    };
    let error = PersistError::new(kind, detail).with_effect(Effect::NotApplied);
    match after {
        Some(after) => error.with_retry_after(after),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::quota::Quota;

    #[test]
    fn a_refusal_names_the_tenant_the_limit_and_the_request() {
        let tenant: TenantId = "acme".parse().unwrap();
        let error = check_stored(&tenant, Stored { used: 90, allowed: 100 }, 11).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::NotApplied));
        assert_eq!(error.detail(), "tenant `acme` stores 90 bytes of the 100 allowed, and asked to add 11");
        assert!(check_stored(&tenant, Stored { used: 90, allowed: 100 }, 10).is_ok());
        let rate = Quota::new().bytes(5, 10).bytes.unwrap();
        let beyond = |asked, after| {
            refusal(
                &tenant,
                Refused::RateExceeded(RateExceeded { resource: Resource::Bytes, asked, rate, after }),
            )
        };
        let error = beyond(7, Some(Duration::from_secs(2)));
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::Overloaded, Some(Duration::from_secs(2)))
        );
        assert_eq!(error.detail(), "tenant `acme` asked for 7 bytes beyond its 5 a second and 10 at once");
        let error = beyond(11, None);
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::TooLarge, None));
        assert_eq!(error.detail(), "tenant `acme` asked for 11 bytes in one call, and may have 10 at once");
    }
}
