//! A change of what a message says, or the end of it.

use rusqlite::params;
use throughline_core::{ContentChange, ContentUpdated, ErrorKind, UpdateContent, UpdateMode, backend::rules};

use super::{
    Applied, Scope, refusal,
    row::{clear_appends, find_or_refuse, growth, write_content, write_head},
};
use crate::record::{Append, AppendKind, Growth, Length, Record};

pub(super) fn update_content(scope: Scope<'_>, update: &UpdateContent) -> Applied<ContentUpdated> {
    let mut record = find_or_refuse(scope, &update.thread, &update.id)?;
    let message = &record.message;
    let next = rules::transition(update, message.state, message.revision, message.lease, scope.now)?;
    let was_open = message.state.is_open();
    record.message.state = next.state;
    record.message.revision = next.revision;
    record.message.lease = next.lease;
    record.message.updated_at = rules::updated_at(record.message.updated_at, scope.now);
    record.position = scope.position;
    if next.state.is_open() {
        append(scope, update, &mut record)?;
        write_head(scope, &record)?;
    } else {
        if let UpdateMode::Abandon { reason } = &update.mode {
            record.message.abandon_reason.clone_from(reason);
        }
        settle(scope, update, was_open, &mut record)?;
    }
    Ok(ContentUpdated {
        thread: update.thread.clone(),
        id: update.id.clone(),
        revision: next.revision,
        state: next.state,
        deduplicated: false,
    })
}

/// Adds a piece to an open message, or begins its pieces anew.
fn append(scope: Scope<'_>, update: &UpdateContent, record: &mut Record) -> Applied<()> {
    if update.change.is_none() {
        return Ok(());
    }
    let length = record.length.after(&update.change);
    check_length(scope, update, length)?;
    let piece = Append::of(&update.change);
    if piece.kind == AppendKind::Base {
        clear_appends(scope, record)?;
        record.appends = 0;
    }
    record.appends += 1;
    record.length = length;
    let (message_pk, n) = (record.message_pk, record.appends);
    scope
        .db
        .prepare_cached(
            "INSERT INTO appends (message_pk, n, kind, checksum, delta) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![message_pk, n, piece.kind.code(), piece.checksum(message_pk, n), piece.delta])?;
    Ok(())
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
    clear_appends(scope, record)?;
    record.length = Length::settled(&content);
    record.message.content = content;
    record.appends = 0;
    write_content(scope, record)
}

fn check_length(scope: Scope<'_>, update: &UpdateContent, length: Length) -> Applied<()> {
    let (bytes, max) = (length.bytes, scope.max_content_bytes);
    if u64::try_from(bytes).is_ok_and(|bytes| bytes <= max) {
        return Ok(());
    }
    let detail = format!("the content would have {bytes} bytes, and {max} are allowed");
    Err(refusal(ErrorKind::TooLarge, detail).about(&update.thread, &update.id).into())
}
