//! A patch of what surrounds the content.

use throughline_core::{Update, Updated, backend::rules};

use super::{
    Applied, Scope,
    row::{find_or_refuse, write_metadata},
};

pub(super) fn update(scope: Scope<'_>, update: &Update) -> Applied<Updated> {
    let mut record = find_or_refuse(scope, &update.thread, &update.id)?;
    let message = &mut record.message;
    rules::expect_revision(update.expected, message.revision)
        .map_err(|error| error.about(&update.thread, &update.id))?;
    message.metadata.apply(&update.metadata);
    if let Some(attachments) = &update.attachments {
        message.attachments.clone_from(attachments);
    }
    message.updated_at = rules::updated_at(message.updated_at, scope.now);
    record.position = scope.position;
    write_metadata(scope, &record)?;
    let message = record.message;
    Ok(Updated {
        thread: message.thread,
        id: message.id,
        metadata: message.metadata,
        attachments: message.attachments,
        revision: message.revision,
        deduplicated: false,
    })
}
