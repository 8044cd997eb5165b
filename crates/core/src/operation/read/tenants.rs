use serde::{Deserialize, Serialize};

use crate::{
    TenantId,
    message::carries_nothing,
    operation::{
        Reach, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
    },
};

/// Lists the tenants of the store: each tenant for which a thread was ever created, in the order of the bytes of their ids.
///
/// It is the one way to find the tenants that background work has to visit. It reads beyond the tenant of its handle, so a capability
/// must cover the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListTenants {
    /// Lists the tenants after this one; all of them if it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<TenantId>,
    /// The most tenants of the page: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
}

carries_nothing!(ListTenants { after: _, limit: _ });

/// The answer to [`ListTenants`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenants {
    /// The tenants. A page with fewer than the limit is the last one.
    pub tenants: Vec<TenantId>,
}

carries_nothing!(Tenants { tenants: _ });

crate::operation::addresses_no_thread!(ListTenants, Tenants);

impl StatesFacts for ListTenants {
    fn facts(&self) -> Facts<'_> {
        Facts {
            reach: Some(Reach::Store),
            limits: Limits::items(self.limit),
            split_by_message: Split::Here,
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for Tenants {}
