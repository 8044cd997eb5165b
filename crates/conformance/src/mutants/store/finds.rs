//! Faults of finds that need more than a changed call or answer: what an index shows that is not up to date.

use std::collections::{HashMap, HashSet};

use throughline_core::{
    Message, MessageId, Metadata, PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult, Result,
    TenantId,
    messages::{FindMessages, ReadPage},
    replication::{ImagePart, ReplicaArgs},
};

use super::{backend::Faulty, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FindFault {
    ShowsRemoved,
    MissesBrought,
    CountsOtherTenants,
    /// A replica indexes no message of an image.
    MissesCopied,
    /// A replica keeps the entries of the first image of a message.
    KeepsFirstCopied,
}

/// The memory of earlier calls.
#[derive(Default)]
pub(super) struct Found {
    tenants: HashSet<TenantId>,
    shown: HashMap<(TenantId, String), Vec<Message>>,
    brought: HashSet<MessageId>,
    /// The metadata of the first image of each message.
    copied: HashMap<(TenantId, MessageId), Metadata>,
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
            if let PersistArgs::Replica(ReplicaArgs::Apply(apply)) = &line.args {
                for image in &apply.images {
                    if let ImagePart::Message(image) = &image.part {
                        let message = &image.message;
                        let key = (message.tenant.clone(), message.id.clone());
                        found.copied.entry(key).or_insert_with(|| message.metadata.clone());
                    }
                }
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
                Self::MissesCopied | Self::KeepsFirstCopied => store.memory.found(|found| {
                    page.messages.retain(|message| {
                        let key = (message.tenant.clone(), message.id.clone());
                        found
                            .copied
                            .get(&key)
                            .is_none_or(|first| self == Self::KeepsFirstCopied && *first == message.metadata)
                    });
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
