//! The entries of messages in the index of metadata: the rows of `metadata_values`.

use rusqlite::params;
use throughline_engine::{StagedRows, rows::MessageKey};

use super::Source;
use crate::{failure::Applied, metadata_index::INSERT, record::number};

/// Writes the entries of new messages, and replaces those of changed and removed ones.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    let changed = staged.indexed.updated().map(|(key, entries)| (key, entries, true));
    let added = staged.indexed.added().map(|(key, entries)| (key, entries, false));
    for (key, entries, is_stored) in changed.chain(added) {
        let Some(message_pk) = source.message_pk(key) else { continue };
        if is_stored {
            source
                .db
                .prepare_cached("DELETE FROM metadata_values WHERE message_pk = ?1")?
                .execute([message_pk])?;
        }
        if entries.fields.is_empty() {
            continue;
        }
        let thread_pk = source.thread_pk(&key.thread)?;
        let names = source.threads.metadata_names(source.db)?;
        let mut insert = source.db.prepare_cached(INSERT)?;
        let MessageKey { thread, .. } = key;
        for (name, value) in &entries.fields {
            let Some(name_pk) = names.number(name) else { continue };
            insert.execute(params![
                message_pk,
                name_pk,
                thread.tenant.as_str(),
                thread.thread.as_str(),
                thread_pk,
                number(entries.seq.get()),
                entries.created_at.as_micros(),
                value,
            ])?;
        }
    }
    Ok(())
}
