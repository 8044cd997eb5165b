use super::Persistence;
use crate::{
    ErrorKind, MessageId, OpKind, PersistError, Result, ThreadId,
    operation::{ContentChange, ListOpen, OpenCursor, UpdateContent, UpdateMode},
};

/// What a sweep did.
#[derive(Debug, Default)]
#[must_use]
pub struct RecoveredDrafts {
    /// The messages that it settled as abandoned.
    pub abandoned: Vec<(ThreadId, MessageId)>,
    /// The messages that it could not settle, and why. What another sweeper or a returned writer did first is not
    /// among them.
    pub failed: Vec<PersistError>,
}

impl Persistence {
    /// Lists up to `limit` open messages of the tenant, in every thread: writers at work, and what a crash left.
    pub fn open_reservations(&self, limit: u32) -> super::ReadRequest<ListOpen> {
        self.read(ListOpen::new(limit))
    }

    /// Settles as abandoned every open message of the tenant whose writer's lease has expired, keeping what is
    /// committed of it. Safe to run at any time, in any number of processes: a live writer is never touched, and each
    /// message is settled once.
    ///
    /// A message that a [`Draft`](crate::Draft) of this pipeline is held for is left alone, even where its lease could not be
    /// renewed: the store may have had no space for that. Another process knows the lease only.
    ///
    /// # Errors
    /// What reading the list answers. What goes wrong with one message stands in [`RecoveredDrafts::failed`] and stops no other.
    ///
    /// # Cancel safety
    /// Dropping it stops between two messages.
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
                        // Somebody was there first: another sweeper, or the writer came back.
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
