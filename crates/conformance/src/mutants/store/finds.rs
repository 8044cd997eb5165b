//! Faults of finds that need more than a changed call or answer: what an index shows that is not up to date.

use std::collections::{HashMap, HashSet};

use throughline_core::{
    Message, MessageId, PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult, Result, TenantId,
    messages::{FindMessages, ReadPage},
};

use super::{backend::Faulty, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FindFault {
    ShowsRemoved,
    MissesBrought,
    CountsOtherTenants,
}

/// The memory of earlier calls.
#[derive(Default)]
pub(super) struct Found {
    tenants: HashSet<TenantId>,
    shown: HashMap<(TenantId, String), Vec<Message>>,
    brought: HashSet<MessageId>,
}

impl FindFault {
    pub(super) async fn serve(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        store.memory.found(|found| {
            if line.args.kind().is_write() {
                found.tenants.insert(line.tenant.clone());
            }
            if let PersistArgs::Import(import) = &line.args {
                found.brought.extend(import.rows.iter().map(|row| row.id.clone()));
            }
        });
        let PersistArgs::Read(ReadArgs::Find(find)) = line.args.clone() else {
            return store.sound(line).await;
        };
        let mut of_others = 0;
        if self == Self::CountsOtherTenants {
            for tenant in store.memory.found(|found| found.tenants.clone()) {
                if tenant != line.tenant {
                    let args =
                        ReadArgs::Find(FindMessages { limit: ReadPage::MAX_LIMIT, ..find.clone() }).into();
                    let response = store.sound(Line { tenant, args, ..line.clone() }).await?;
                    if let PersistResult::Read(ReadResult::Find(page)) = response.result {
                        of_others += page.messages.len();
                    }
                }
            }
        }
        let key = (line.tenant.clone(), serde_json::to_string(&find.metadata).unwrap_or_default());
        let mut response = store.sound(line).await?;
        if let PersistResult::Read(ReadResult::Find(page)) = &mut response.result {
            match self {
                Self::CountsOtherTenants if of_others > 0 => page.messages.truncate(1),
                Self::CountsOtherTenants => {}
                Self::MissesBrought => store.memory.found(|found| {
                    page.messages.retain(|message| !found.brought.contains(&message.id));
                }),
                Self::ShowsRemoved => store.memory.found(|found| {
                    let shown = found.shown.entry(key).or_default();
                    if find.thread.is_none() && page.messages.len() < shown.len() {
                        page.messages.clone_from(shown);
                    } else {
                        shown.clone_from(&page.messages);
                    }
                }),
            }
        }
        Ok(response)
    }
}
