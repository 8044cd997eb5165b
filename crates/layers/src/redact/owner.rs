//! Redacts the owner of a thread, which the store keeps and filters by.

use super::{Redactions, redactor::Redactor};
use throughline_core::{OwnerId, PersistArgs, ReadArgs, ids::MAX_ID_BYTES, threads::ThreadArgs};

impl Redactor {
    /// Hides secrets in the owner that `args` stores or filters by: a list by this owner finds the threads that were
    /// stored through these rules. It does not find a thread that was stored under the raw owner, before the layer or
    /// the rule existed, until a [`Scrub`](super::Scrub) changes its owner.
    ///
    /// Two owners that differ only in their secrets become one owner in the store.
    pub(super) fn owner(&self, args: &mut PersistArgs, found: &mut Redactions) {
        let owner = match args {
            PersistArgs::Thread(ThreadArgs::Create(create)) => create.owner.as_mut(),
            PersistArgs::Thread(ThreadArgs::Label(label)) => label.owner.as_mut().and_then(Option::as_mut),
            PersistArgs::Read(ReadArgs::Threads(list)) => list.owner.as_mut(),
            _ => None,
        };
        let Some(owner) = owner else { return };
        if let Some(redacted) = self.owner_id(owner, found) {
            *owner = redacted;
        }
    }

    /// Returns the owner without its secrets; `None` if it has none.
    pub(super) fn owner_id(&self, owner: &OwnerId, found: &mut Redactions) -> Option<OwnerId> {
        let mut text = self.text(owner.as_str(), found)?;
        let mut end = text.len().min(MAX_ID_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Some(OwnerId::new(text).expect("an id may contain the characters of a marker"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{
        NewThread,
        threads::{CreateThread, LabelThread, ListThreads},
    };

    #[test]
    fn an_owner_is_stored_and_found_by_its_redacted_form() {
        let secret = format!("bob AKIA{}", "ABCD2345".repeat(2));
        let owner: OwnerId = secret.parse().unwrap();
        let redactor = Redactor::secrets();
        let create = CreateThread::new(NewThread::new().with_owner(owner.clone()));
        let label = LabelThread::new("t".parse().unwrap()).with_owner(Some(owner.clone()));
        let list = ListThreads::new(10).of_owner(owner);
        for mut args in [PersistArgs::from(create), label.into(), PersistArgs::Read(list.into())] {
            let mut found = Redactions::new();
            redactor.owner(&mut args, &mut found);
            let sent = serde_json::to_string(&args).unwrap();
            assert!(!sent.contains("AKIA") && sent.contains("bob [redacted:aws-access-key#"), "{sent}");
            assert_eq!(found.total(), 1);
        }
    }
}
