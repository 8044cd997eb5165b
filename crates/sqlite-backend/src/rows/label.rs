//! The index rows of labels, by which lists find threads. The owner has the empty name.

use rusqlite::params;
use throughline_core::{Labels, OwnerId};
use throughline_engine::{StagedRows, rows::ThreadKey};

use super::Source;
use crate::failure::Applied;

/// Writes the labels and the owner of threads.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for key in staged.relabeled.items() {
        let thread_pk = source.thread_pk(key)?;
        source.db.prepare_cached("DELETE FROM labels WHERE thread_pk = ?1")?.execute([thread_pk])?;
        let summary = staged.threads.known(key).flatten().and_then(|row| row.summary.as_ref());
        let Some(summary) = summary else { continue };
        let owner = summary.owner.iter().map(|owner| ("", owner.as_str()));
        let labels = summary.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut insert = source
            .db
            .prepare_cached("INSERT INTO labels (tenant, name, value, thread_pk) VALUES (?1, ?2, ?3, ?4)")?;
        for (name, value) in owner.chain(labels) {
            insert.execute(params![key.tenant.as_str(), name, value, thread_pk])?;
        }
    }
    Ok(())
}

impl Source<'_> {
    /// Returns the labels and the owner of a thread whose summary is damaged.
    pub(super) fn stored_labels(&mut self, key: &ThreadKey) -> Applied<(Labels, Option<OwnerId>)> {
        let thread_pk = self.thread_pk(key)?;
        let mut statement = self.db.prepare_cached("SELECT name, value FROM labels WHERE thread_pk = ?1")?;
        let mut rows = statement.query([thread_pk])?;
        let (mut labels, mut owner) = (Labels::new(), None);
        while let Some(row) = rows.next()? {
            let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
            if name.is_empty() {
                owner = OwnerId::new(value).ok();
            } else if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
                labels.set(name, value);
            }
        }
        Ok((labels, owner))
    }
}
