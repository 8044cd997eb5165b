use super::{
    super::key_set::{Found, Stale},
    walk::Walk,
};
use throughline_core::{
    Message, MessageState, MetadataPatch, Result,
    messages::{ContentChange, GetMessage, Update, UpdateContent, UpdateMode},
};

/// How often a message is looked at again that somebody else has changed.
const TRIES: u32 = 8;

impl Walk {
    /// Writes one message again, as far as it has to be and can be.
    pub(super) async fn row(&mut self, message: Message, found: &Found) -> Result<()> {
        let named = (message.thread.clone(), message.id.clone());
        if found.stale.contains(&Stale::Facts(named.0.clone(), named.1.clone())) {
            // An empty patch: the layer puts into it what is not under the present key.
            let touch = Update::new(named.0.clone(), named.1.clone(), MetadataPatch::new());
            let answer = self.db.run(touch).await;
            self.report.metadata += self.done(answer)?;
        }
        let content = Stale::Content(named.0.clone(), named.1.clone());
        if !found.stale.contains(&content) {
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
            let (thread, id) = named.clone();
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
            // Changed meanwhile: an edit that only appends leaves the older pieces under the older key.
            match self.read(GetMessage { thread, id }).await? {
                Some((Some(now), found)) if found.stale.contains(&content) => message = now,
                _ => return Ok(()),
            }
        }
        self.report.overtaken += 1;
        Ok(())
    }
}
