//! Verifies the index of metadata against the messages.

use rusqlite::Row;
use throughline_core::Metadata;

use super::{Check, Owner, Part, text};
use crate::{metadata_index::MetadataNames, record::Columns as _};

/// Every entry of a declared name, with its message.
const ENTRIES: &str = "SELECT f.message_pk, f.name_pk, f.value, f.tenant, f.thread, f.thread_pk, f.seq, f.created_at, \
    t.tenant, t.thread, m.thread_pk, m.seq, m.created_at, m.metadata, m.message_id FROM metadata_values f \
    JOIN metadata_names n ON n.name_pk = f.name_pk LEFT JOIN messages m ON m.message_pk = f.message_pk \
    LEFT JOIN threads t ON t.thread_pk = m.thread_pk WHERE n.name IS NOT NULL ORDER BY f.message_pk";

/// Every message with metadata and a complete index, with the number of its entries.
const MESSAGES: &str = "SELECT t.tenant, t.thread, m.message_id, m.metadata, \
    (SELECT count(*) FROM metadata_values f JOIN metadata_names n ON n.name_pk = f.name_pk \
     WHERE f.message_pk = m.message_pk AND n.recovered IS NULL) \
    FROM messages m LEFT JOIN threads t ON t.thread_pk = m.thread_pk \
    WHERE m.seq IS NOT NULL AND m.metadata <> '{}'";

impl Check<'_> {
    /// Verifies that every entry has its message, and every message its entries.
    pub(super) fn indexed_metadata(&mut self) -> rusqlite::Result<()> {
        let names = MetadataNames::read(self.db)?;
        if names.indexed.is_empty() {
            return Ok(());
        }
        let mut statement = self.db.prepare(ENTRIES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.found.indexed += 1;
            if !is_of_its_message(row, &names) {
                let owner = Owner::read(row, 3).with_message(row, 14);
                self.report(
                    &owner,
                    Part::MetadataIndex,
                    "an entry of the metadata index differs from its message",
                );
            }
        }
        drop(rows);
        let complete = complete(self.db)?;
        let mut statement = self.db.prepare(MESSAGES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let metadata: Option<Metadata> = text(row, 3).and_then(|json| serde_json::from_str(json).ok());
            // A damaged message is reported as such.
            let Some(metadata) = metadata else { continue };
            let expected = complete.fields(&metadata).count();
            if row.integer(4) != i64::try_from(expected).ok() {
                let owner = Owner::read(row, 0).with_message(row, 2);
                let description = format!("the metadata index does not have its {expected} entries");
                self.report(&owner, Part::MetadataIndex, description);
            }
        }
        Ok(())
    }
}

/// Returns the names with a complete index.
fn complete(db: &rusqlite::Connection) -> rusqlite::Result<throughline_core::IndexedMetadata> {
    let mut statement =
        db.prepare("SELECT name FROM metadata_names WHERE name IS NOT NULL AND recovered IS NULL")?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(throughline_core::IndexedMetadata::new(names).unwrap_or_default())
}

fn is_of_its_message(row: &Row<'_>, names: &MetadataNames) -> bool {
    let check = || {
        let metadata: Metadata = serde_json::from_slice(row.text(13)?).ok()?;
        let (name_pk, value) = (row.integer(1)?, text(row, 2)?);
        let mut fields = names.indexed.fields(&metadata);
        let has_value =
            fields.any(|(name, scalar)| names.number(name) == Some(name_pk) && scalar.index_key() == value);
        let is_placed = (row.text(3)?, row.text(4)?) == (row.text(8)?, row.text(9)?)
            && (5..=7).zip([10, 11, 12]).all(|(of_entry, of_message)| {
                row.integer(of_entry).is_some() && row.integer(of_entry) == row.integer(of_message)
            });
        Some(has_value && is_placed)
    };
    check().unwrap_or(false)
}
