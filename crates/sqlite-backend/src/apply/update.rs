//! A patch of what surrounds the content.

use throughline_core::{Happened, Update, Updated, backend::rules};

use super::{
    Applied, Scope,
    row::{find_or_refuse, write_metadata},
    threads::changed,
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
    // Before anything is changed.
    let thread_pk = {
        let Some(mut state) = scope.living(&update.thread)? else {
            return Err(rules::no_such_thread(&update.thread).into());
        };
        state.entry_mut(&update.thread)?.tally.touched(message);
        state.thread_pk
    };
    record.position = scope.take_position();
    write_metadata(scope, &record)?;
    scope.tell(record.position, thread_pk, &Happened::Patched(changed(&record.message)))?;
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
