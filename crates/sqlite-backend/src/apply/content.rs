//! A change of what a message says, or the end of it.

use std::cell::RefMut;

use throughline_core::{
    ContentChange, ContentUpdated, ErrorKind, Happened, ThreadId, Timestamp, UpdateContent, UpdateMode,
    backend::{
        Length,
        rules::{self, Transition},
    },
};

use super::{
    Applied, Scope, refusal,
    row::{clear_appends, find_or_refuse, growth, write_content},
    threads::{ThreadState, changed},
    unwritten::OpenMessage,
};
use crate::record::{Growth, Record};

pub(super) fn update_content(scope: Scope<'_>, update: &UpdateContent) -> Applied<ContentUpdated> {
    let record = find_or_refuse(scope, &update.thread, &update.id)?;
    if let Some(state) = scope.living(&update.thread)? {
        state.entry(&update.thread)?;
    }
    let step = Step::of(scope, update, &record)?;
    if step.next.state.is_open() {
        let mut message = OpenMessage::new(scope, record)?;
        message.take(scope, update, step);
        message.write(scope.db)?;
        return Ok(answer(update, message.record()));
    }
    let was_open = record.message.state.is_open();
    let bytes_before = record.length.bytes;
    let mut record = record;
    step.apply(&mut record);
    if let UpdateMode::Abandon { reason } = &update.mode {
        record.message.abandon_reason.clone_from(reason);
    }
    settle(scope, update, was_open, &mut record)?;
    let message = &record.message;
    let mut state = living(scope, &update.thread)?;
    let what = match &update.mode {
        UpdateMode::Edit => {
            state.entry_mut(&update.thread)?.tally.edited(bytes_before, message);
            Happened::Edited
        }
        UpdateMode::Abandon { .. } => {
            state.count(message)?;
            Happened::Abandoned
        }
        UpdateMode::Final | UpdateMode::Partial => {
            state.count(message)?;
            Happened::Finished
        }
    };
    scope.tell(record.position, state.thread_pk, &what(changed(message)))?;
    Ok(answer(update, &record))
}

/// The thread of a row that was found.
fn living<'a>(scope: Scope<'a>, thread: &ThreadId) -> Applied<RefMut<'a, ThreadState>> {
    scope.living(thread)?.ok_or_else(|| rules::no_such_thread(thread).into())
}

/// What a change makes of a message, before anything is changed.
pub(super) struct Step {
    next: Transition,
    updated_at: Timestamp,
    position: i64,
    /// Of a message that stays open.
    length: Length,
}

impl Step {
    /// What it makes of this one, if that is allowed.
    pub(super) fn of(scope: Scope<'_>, update: &UpdateContent, record: &Record) -> Applied<Self> {
        let message = &record.message;
        let next = rules::transition(update, message.state, message.revision, message.lease, scope.now)?;
        let mut length = record.length;
        if next.state.is_open() && !update.change.is_none() {
            length = length.after(&update.change);
            check_length(scope, update, length)?;
        }
        let updated_at = rules::updated_at(message.updated_at, scope.now);
        // A sign of life tells nothing, and has a place only where nothing else in its call has one.
        let position =
            if next.revision == message.revision { record.position } else { scope.take_position() };
        Ok(Self { next, updated_at, position, length })
    }

    pub(super) fn apply(self, record: &mut Record) {
        record.message.state = self.next.state;
        record.message.revision = self.next.revision;
        record.message.lease = self.next.lease;
        record.message.updated_at = self.updated_at;
        record.position = self.position;
        record.length = self.length;
    }
}

pub(super) fn answer(update: &UpdateContent, record: &Record) -> ContentUpdated {
    ContentUpdated {
        thread: update.thread.clone(),
        id: update.id.clone(),
        revision: record.message.revision,
        state: record.message.state,
        deduplicated: false,
    }
}

/// Gives a message its content, whole.
fn settle(scope: Scope<'_>, update: &UpdateContent, was_open: bool, record: &mut Record) -> Applied<()> {
    let content = match &update.change {
        ContentChange::Replace(content) => content.clone(),
        // What was taken piece by piece is not too large at its end.
        ContentChange::Append(delta) if delta.is_empty() && was_open => growth(scope, record)?.content(),
        ContentChange::Append(delta) => {
            let mut grown = if was_open {
                check_length(scope, update, record.length.after(&update.change))?;
                growth(scope, record)?
            } else {
                Growth::from(record.message.content.clone())
            };
            grown.push(delta);
            let content = grown.content();
            check_length(scope, update, Length::settled(&content))?;
            content
        }
    };
    clear_appends(scope.db, record)?;
    record.length = Length::settled(&content);
    record.message.content = content;
    (record.appends, record.last_append) = (0, None);
    write_content(scope, record)
}

fn check_length(scope: Scope<'_>, update: &UpdateContent, length: Length) -> Applied<()> {
    let bytes = length.bytes;
    let max = scope.max_content_bytes.min(update.max_content_bytes.unwrap_or(u64::MAX));
    if bytes <= max {
        return Ok(());
    }
    let detail = format!("the content would have {bytes} bytes, and {max} are allowed");
    Err(refusal(ErrorKind::TooLarge, detail).about(&update.thread, &update.id).into())
}
