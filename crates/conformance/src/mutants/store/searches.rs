//! Faults of searches that need more than a changed call or answer: one index for all tenants.

use std::collections::BTreeSet;

use throughline_core::{
    PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult, Result, TenantId, messages::ReadPage,
    search::SearchMessages,
};

use super::{backend::Faulty, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchFault {
    LimitsBeforeTenants,
    RanksByEveryTenant,
}

/// The tenants that have written.
pub(super) type Writers = BTreeSet<TenantId>;

impl SearchFault {
    pub(super) async fn serve(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        if line.args.kind().is_write() {
            store.memory.writers(|writers| writers.insert(line.tenant.clone()));
        }
        let PersistArgs::Read(ReadArgs::Search(read)) = &line.args else { return store.sound(line).await };
        let limit = read.limit as usize;
        let mut of_others = 0;
        for tenant in store.memory.writers(|writers| writers.clone()) {
            if tenant != line.tenant {
                let args =
                    ReadArgs::Search(SearchMessages { limit: ReadPage::MAX_LIMIT, ..read.clone() }).into();
                let response = store.sound(Line { tenant, args, ..line.clone() }).await?;
                if let PersistResult::Read(ReadResult::Search(found)) = response.result {
                    of_others += found.hits.len();
                }
            }
        }
        let mut response = store.sound(line).await?;
        if let PersistResult::Read(ReadResult::Search(found)) = &mut response.result {
            match self {
                Self::LimitsBeforeTenants => found.hits.truncate((2 * limit + 16).saturating_sub(of_others)),
                Self::RanksByEveryTenant if of_others > 0 => found.hits.reverse(),
                Self::RanksByEveryTenant => {}
            }
        }
        Ok(response)
    }
}
