//! Whether a call is let in.

use super::{
    QuotaLayer, Stored,
    account::{Beyond, What},
    charge::Charge,
    tenants::Refused,
    weigh::weigh,
};
use throughline_core::{Effect, ErrorKind, PersistError, PersistRequest, Result, TenantId};

impl QuotaLayer {
    /// Takes what the call weighs from what its tenant has left; refuses it where there is not enough.
    pub(super) fn admit(&self, request: &PersistRequest) -> Result<Charge> {
        let PersistRequest { args, context } = request;
        let tenant = context.tenant();
        let weight = weigh(args, context.idempotency().map(|idempotency| &idempotency.key));
        if let Some(stored) = &self.stored
            && request.grows()
        {
            has_room(tenant, stored(tenant), weight.bytes)?;
        }
        let quota = (self.quotas)(tenant);
        let must = args.settles() && !args.brings_content();
        self.tenants.take(tenant, weight, &quota, must).map_err(|refused| told(tenant, refused))?;
        Ok(Charge::new(self, context, weight, quota))
    }
}

fn has_room(tenant: &TenantId, stored: Stored, bytes: u64) -> Result<()> {
    let Stored { used, allowed } = stored;
    if used.saturating_add(bytes) <= allowed {
        return Ok(());
    }
    let detail =
        format!("tenant `{tenant}` stores {used} bytes of the {allowed} allowed, and asked to add {bytes}");
    Err(PersistError::new(ErrorKind::StorageFull, detail).with_effect(Effect::NotApplied))
}

fn told(tenant: &TenantId, refused: Refused) -> PersistError {
    let (kind, detail, after) = match refused {
        Refused::NoRoom { after } => {
            let detail = format!("too many tenants are busy to let `{tenant}` in as well");
            (ErrorKind::Overloaded, detail, Some(after))
        }
        Refused::Beyond(Beyond { what, asked, rate, after }) => {
            let what = match what {
                What::Operations => "operations",
                What::Bytes => "bytes",
            };
            let (per_second, burst) = (rate.per_second, rate.burst);
            match after {
                Some(_) => {
                    let detail = format!(
                        "tenant `{tenant}` asked for {asked} {what} beyond its {per_second} a second and {burst} at once"
                    );
                    (ErrorKind::Overloaded, detail, after)
                }
                None => {
                    let detail = format!(
                        "tenant `{tenant}` asked for {asked} {what} in one call, and may have {burst} at once"
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
    fn a_refusal_names_the_tenant_the_limit_and_what_was_asked() {
        let tenant: TenantId = "acme".parse().unwrap();
        let error = has_room(&tenant, Stored { used: 90, allowed: 100 }, 11).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::NotApplied));
        assert_eq!(error.detail(), "tenant `acme` stores 90 bytes of the 100 allowed, and asked to add 11");
        assert!(has_room(&tenant, Stored { used: 90, allowed: 100 }, 10).is_ok());
        let rate = Quota::new().bytes(5, 10).bytes.unwrap();
        let beyond =
            |asked, after| told(&tenant, Refused::Beyond(Beyond { what: What::Bytes, asked, rate, after }));
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
