use super::{
    super::key_set::{KeyUsage, Stale},
    walk::Walk,
};
use throughline_core::{
    Message, MessageState, MetadataPatch, Result,
    messages::{ContentChange, GetMessage, Update, UpdateContent, UpdateMode},
};

/// The most attempts at a message that other writers change meanwhile.
const TRIES: u32 = 8;

impl Walk {
    /// Re-encrypts one message, as far as necessary and possible.
    pub(super) async fn row(&mut self, message: Message, usage: &KeyUsage) -> Result<()> {
        let message_key = (message.thread.clone(), message.id.clone());
        if usage.stale.contains(&Stale::Metadata(message_key.0.clone(), message_key.1.clone())) {
            // An empty patch: the layer adds the values that are not under the current key.
            let touch = Update::new(message_key.0.clone(), message_key.1.clone(), MetadataPatch::new());
            let answer = self.db.run(touch).await;
            self.report.metadata += self.done(answer)?;
        }
        let content = Stale::Content(message_key.0.clone(), message_key.1.clone());
        if !usage.stale.contains(&content) {
            return Ok(());
        }
        let mut message = message;
        for _ in 0..TRIES {
            match message.state {
                MessageState::Reserved | MessageState::Streaming => {
                    self.report.open += 1;
                    return Ok(());
                }
                MessageState::Abandoned => {
                    self.report.abandoned += 1;
                    return Ok(());
                }
                MessageState::Final => {}
            }
            let (thread, id) = message_key.clone();
            let change = ContentChange::Replace(message.content);
            let edit = UpdateContent::new(thread.clone(), id.clone(), change, UpdateMode::Edit);
            let (answer, too_large) =
                (self.db.run(edit.expecting(message.revision)).await, self.report.too_large);
            if self.done(answer)? == 1 {
                self.report.contents += 1;
                return Ok(());
            }
            if self.report.too_large > too_large {
                return Ok(());
            }
            // Another writer changed the message. An edit that only appends leaves the older chunks under the older
            // key.
            match self.read(GetMessage { thread, id }).await? {
                Some((Some(now), usage)) if usage.stale.contains(&content) => message = now,
                _ => return Ok(()),
            }
        }
        self.report.overtaken += 1;
        Ok(())
    }
}
