//! A patch of metadata and attachments.

use throughline_core::{
    Content, ErrorKind, Metadata, PersistError, Seq,
    backend::rules,
    changes::ChangeKind,
    messages::{Update, Updated},
};

use super::{Decided, WriteScope, load::summary_mut, refusal};
use crate::{RowSource, rows::MessageRow};

impl<S: RowSource> WriteScope<'_, S> {
    pub(super) fn update(&mut self, update: &Update) -> Decided<Updated, S> {
        let (thread, id) = (&update.thread, &update.id);
        let mut row = self.message(thread, id)?;
        let mut state = self.existing(thread)?;
        rules::expect_revision(update.expected, row.revision).map_err(|error| error.about(thread, id))?;
        let before = row.metadata.clone();
        row.metadata.apply(&update.metadata);
        let kept = set_absent(&mut row.metadata, &update.where_absent);
        expect_metadata(before.byte_len(), row.metadata.byte_len(), update.max_metadata_bytes)
            .map_err(|error| error.about(thread, id))?;
        if let Some(attachments) = &update.attachments {
            row.attachments.clone_from(attachments);
        }
        // An empty patch is a change, as a heartbeat of metadata; an update of names that are all there is none.
        let sets_nothing = !kept.is_empty() && kept.len() == update.where_absent.len();
        if sets_nothing && update.metadata.is_empty() && update.attachments.is_none() {
            return Ok(answer(update, &row, kept));
        }
        row.updated_at = rules::updated_at(row.updated_at, self.now);
        row.last_change = self.next_change();
        let summary = summary_mut(&mut state, thread)?;
        if !row.state.is_open() {
            // The counters need the time of the change, and not the content.
            summary.counters.touched(&row.message(self.tenant, thread, id, Content::empty()));
            self.put_thread(thread, state);
        }
        self.emit(thread, ChangeKind::Patched(row.changed(id)));
        let updated = answer(update, &row, kept);
        let key = self.message_key(thread, id);
        self.index_patched(&key, &before, &row);
        self.rows.messages.put(key, row);
        Ok(updated)
    }
}

/// Sets the values whose names the metadata does not have. Returns the names that it has.
fn set_absent(metadata: &mut Metadata, values: &Metadata) -> Vec<String> {
    let mut kept = Vec::new();
    for (name, value) in values.iter() {
        if metadata.get(name).is_some() {
            kept.push(name.to_owned());
        } else {
            metadata.set_raw(name, value.to_owned());
        }
    }
    kept
}

fn answer(update: &Update, row: &MessageRow, kept: Vec<String>) -> Updated {
    Updated {
        thread: update.thread.clone(),
        id: update.id.clone(),
        seq: row.seq.unwrap_or(Seq::ZERO),
        metadata: row.metadata.clone(),
        kept,
        attachments: row.attachments.clone(),
        revision: row.revision,
        deduplicated: false,
    }
}

/// Refuses a patch that makes metadata longer than the call allows.
pub(super) fn expect_metadata(before: usize, after: usize, max: Option<u64>) -> Result<(), PersistError> {
    match max {
        Some(max) if after > before && after as u64 > max => {
            let detail = format!("the metadata would have {after} bytes, and {max} are allowed");
            Err(refusal(ErrorKind::TooLarge, detail))
        }
        _ => Ok(()),
    }
}
