use super::Persistence;
use crate::{
    ErrorKind, MessageId, OpKind, PersistError, Result, ThreadId,
    operation::{ContentChange, ListOpen, OpenCursor, UpdateContent, UpdateMode},
};

/// The result of a recovery of expired drafts.
#[derive(Debug, Default)]
#[must_use]
pub struct RecoveredDrafts {
    /// The messages that the recovery has abandoned.
    pub abandoned: Vec<(ThreadId, MessageId)>,
    /// The errors of the messages that the recovery could not settle. A message that another recovery or its own writer
    /// settled first is no error.
    pub failed: Vec<PersistError>,
}

impl Persistence {
    /// Lists up to `limit` open messages of the tenant, in all threads: those of active writers, and those that a crash
    /// left behind.
    pub fn open_reservations(&self, limit: u32) -> super::ReadRequest<ListOpen> {
        self.read(ListOpen::new(limit))
    }

    /// Abandons every open message of the tenant whose lease has expired. The committed content stays. The recovery can
    /// run at any time, in any number of processes: it does not affect a writer with a valid lease, and settles each
    /// message once.
    ///
    /// It skips a message that a [`Draft`](crate::Draft) of this pipeline writes, even if the lease has expired. The store
    /// may have had no space to renew that lease. Another process sees only the lease.
    ///
    /// # Errors
    /// The error of the list. The error of a single message is in [`RecoveredDrafts::failed`] and does not stop the
    /// recovery.
    ///
    /// # Cancel safety
    /// A dropped future stops after the current message.
    pub async fn recover_expired_drafts(&self, reason: &str) -> Result<RecoveredDrafts> {
        let mut recovered = RecoveredDrafts::default();
        let mut after: Option<OpenCursor> = None;
        loop {
            let list = ListOpen { after, ..ListOpen::new(256).expired_only() };
            let open = self.read(list).await?;
            recovered
                .failed
                .extend(open.damaged.iter().map(|damaged| damaged.to_error().at_the_edge(OpKind::Read)));
            let drafts = self.live_drafts();
            for message in open.messages.into_iter().filter(|message| !drafts.holds(message)) {
                let mode = UpdateMode::Abandon { reason: Some(reason.to_owned()) };
                let (thread, id) = (message.thread, message.id);
                let settle = UpdateContent::new(thread.clone(), id.clone(), ContentChange::none(), mode)
                    .expecting(message.revision)
                    .only_if_expired();
                match self.run(settle).await {
                    Ok(_) => recovered.abandoned.push((thread, id)),
                    Err(error) => match error.kind() {
                        // Another recovery or the writer of the message settled it first.
                        ErrorKind::Stale | ErrorKind::Conflict | ErrorKind::NotFound => {}
                        _ => recovered.failed.push(error),
                    },
                }
            }
            match open.next {
                Some(next) => after = Some(next),
                None => return Ok(recovered),
            }
        }
    }
}
