//! Verification by reads: of a store whose pages belong to a server.

use throughline::{
    ErrorKind, PersistError, Persistence, ThreadId,
    audit::{AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
    messages::{DamagedMessage, PageFrom},
    sqlite::Part,
};

use super::verified::{Checked, DamagedPart, Method, Verified};
use crate::{
    Failure,
    command::pages::{Tenants, ThreadPages},
};

/// The damaged rows that are listed; the others are counted.
const LISTED: usize = 1000;
/// The messages, or the audit records, of one read.
const PAGE: u32 = 200;

/// Reads every listed thread, every message of it, and the audit log, in each tenant.
pub(crate) async fn verify(db: &Persistence) -> Result<Verified, Failure> {
    let mut found = Verified {
        sound: true,
        method: Method::Reads,
        checked: Checked::default(),
        damaged: Vec::new(),
        not_listed: 0,
    };
    let mut tenants = Tenants::of(db);
    while let Some(tenant) = tenants.next().await? {
        let db = db.for_tenant(tenant);
        let mut pages = ThreadPages::of(&db);
        while let Some((threads, damaged)) = pages.next().await? {
            for thread in damaged {
                found.checked.threads += 1;
                found.add(Part::Summary, &db, &thread, None, "its summary cannot be decoded".to_owned());
                found.messages(&db, &thread).await?;
            }
            for thread in threads {
                found.checked.threads += 1;
                found.messages(&db, &thread.thread).await?;
            }
        }
    }
    found.audit(db).await?;
    Ok(found)
}

impl Verified {
    async fn messages(&mut self, db: &Persistence, id: &ThreadId) -> Result<(), Failure> {
        let thread = db.thread(id.clone());
        let mut from = PageFrom::Start;
        loop {
            let page = match thread.page(from, PAGE).await {
                Ok(page) => page,
                // The thread was deleted meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => return Ok(()),
                Err(error) => return self.unless_corrupt(db, id, error),
            };
            self.checked.messages += (page.messages.len() + page.damaged.len()) as u64;
            for damaged in &page.damaged {
                let DamagedMessage { id: message, .. } = damaged;
                let reason = damaged.to_error().detail().to_owned();
                self.add(Part::Message, db, id, message.as_ref(), reason);
            }
            match page.next(from) {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Adds a thread whose messages cannot be listed; another error ends the command.
    fn unless_corrupt(
        &mut self,
        db: &Persistence,
        id: &ThreadId,
        error: PersistError,
    ) -> Result<(), Failure> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error.into());
        }
        self.add(Part::Thread, db, id, None, error.detail().to_owned());
        Ok(())
    }

    async fn audit(&mut self, db: &Persistence) -> Result<(), Failure> {
        let mut after = AuditNumber::new(0);
        loop {
            let read = ReadAudit::new(ChangeScope::Store, AuditFrom::After(after), PAGE);
            let page = match db.read(read).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
                page => page?,
            };
            self.checked.audit_entries += (page.entries.len() + page.damaged.len()) as u64;
            for number in page.damaged {
                self.damage(DamagedPart {
                    part: Part::Audit,
                    tenant: None,
                    thread: None,
                    message: None,
                    reason: format!("the audit record {number} cannot be decoded"),
                });
            }
            if !page.more {
                return Ok(());
            }
            after = page.reached;
        }
    }

    fn add(
        &mut self,
        part: Part,
        db: &Persistence,
        thread: &ThreadId,
        message: Option<&throughline::MessageId>,
        reason: String,
    ) {
        self.damage(DamagedPart {
            part,
            tenant: Some(db.tenant().clone()),
            thread: Some(thread.clone()),
            message: message.cloned(),
            reason,
        });
    }

    fn damage(&mut self, damaged: DamagedPart) {
        self.sound = false;
        if self.damaged.len() < LISTED {
            self.damaged.push(damaged);
        } else {
            self.not_listed += 1;
        }
    }
}
