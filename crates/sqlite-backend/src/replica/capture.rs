//! Records the dirty set of a replica by triggers. They exist only while a copy of the store is running: no write can
//! bypass them, and a store without a copy pays nothing.

use rusqlite::{Connection, OptionalExtension};
use throughline_core::replication::CaptureId;

use crate::record::number;

/// A table whose rows are copied one by one, in this order. Rows of other tables that belong to such a row are copied
/// with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Threads = 1,
    Messages,
    Names,
    Keys,
    Agents,
    Runtimes,
    Heads,
    Known,
    Attempts,
    Consumers,
}

impl Part {
    const ALL: [Self; 10] = [
        Self::Threads,
        Self::Messages,
        Self::Names,
        Self::Keys,
        Self::Agents,
        Self::Runtimes,
        Self::Heads,
        Self::Known,
        Self::Attempts,
        Self::Consumers,
    ];

    /// The first part of a snapshot.
    pub(crate) const FIRST: u32 = Self::Threads as u32;
    /// The number after the last part.
    pub(crate) const DONE: u32 = Self::Consumers as u32 + 1;

    /// Returns the part with this number.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|part| *part as u32 == code)
    }

    /// Returns the table and its key.
    pub(crate) const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Threads => ("threads", "thread_pk"),
            Self::Messages => ("messages", "message_pk"),
            Self::Names => ("aliases", "alias_pk"),
            Self::Keys => ("idempotency", "record_pk"),
            Self::Agents => ("session_agents", "agent_pk"),
            Self::Runtimes => ("session_runtimes", "runtime_pk"),
            Self::Heads => ("session_heads", "head_pk"),
            Self::Known => ("session_known", "known_pk"),
            Self::Attempts => ("session_attempts", "attempt_pk"),
            Self::Consumers => ("consumers", "consumer_pk"),
        }
    }

    /// Returns the table whose rows are copied with those of this one.
    const fn auxiliary_table(self) -> Option<&'static str> {
        match self {
            Self::Threads => Some("catalog"),
            Self::Consumers => Some("quarantine"),
            _ => None,
        }
    }

    /// Returns the triggers of this part, each with its name.
    fn triggers(self) -> Vec<(String, String)> {
        let (table, key) = self.table();
        let kind = self as u32;
        let trigger = |table: &str, event: &str, row: &str| {
            let name = format!("capture_{table}_{event}");
            // The dirty set holds each row once. The trigger deletes an existing entry first, independent of the
            // conflict clause of the statement that fires it.
            let sql = format!(
                "CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN \
                 DELETE FROM touched WHERE kind = {kind} AND row = {row}.{key}; \
                 INSERT INTO touched (kind, row) VALUES ({kind}, {row}.{key}); END"
            );
            (name, sql)
        };
        let mut triggers = vec![trigger(table, "insert", "NEW"), trigger(table, "update", "NEW")];
        if let Some(table) = self.auxiliary_table() {
            triggers.push(trigger(table, "insert", "NEW"));
            triggers.push(trigger(table, "update", "NEW"));
            triggers.push(trigger(table, "delete", "OLD"));
        }
        triggers
    }
}

/// Begins a capture, unless one is running already.
pub(super) fn begin(db: &Connection) -> rusqlite::Result<CaptureId> {
    if let Some(capture) = present(db)? {
        return Ok(capture);
    }
    let capture = CaptureId::fresh();
    db.execute("INSERT INTO capture (id, number) VALUES (1, ?1)", [number(capture.get())])?;
    for (_, sql) in Part::ALL.into_iter().flat_map(Part::triggers) {
        db.execute(&sql, [])?;
    }
    Ok(capture)
}

/// Ends the capture. Returns whether one was running.
pub(super) fn end(db: &Connection) -> rusqlite::Result<bool> {
    if present(db)?.is_none() {
        return Ok(false);
    }
    for (name, _) in Part::ALL.into_iter().flat_map(Part::triggers) {
        db.execute(&format!("DROP TRIGGER IF EXISTS {name}"), [])?;
    }
    db.execute("DELETE FROM touched", [])?;
    db.execute("DELETE FROM capture", [])?;
    Ok(true)
}

/// Returns whether `sql` is exactly the statement that creates one of the triggers of a capture.
pub(crate) fn is_capture_trigger(sql: &str) -> bool {
    Part::ALL.into_iter().flat_map(Part::triggers).any(|(_, ours)| ours == sql)
}

/// Returns the running capture.
pub(crate) fn present(db: &Connection) -> rusqlite::Result<Option<CaptureId>> {
    let number: Option<i64> = db
        .prepare_cached("SELECT number FROM capture WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).map(CaptureId::new))
}

/// Returns the number of the last entry of the dirty set.
pub(super) fn last(db: &Connection) -> rusqlite::Result<u64> {
    let last: i64 =
        db.prepare_cached("SELECT coalesce(max(n), 0) FROM touched")?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(last).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    #[test]
    fn every_table_is_captured_or_copied_with_another_or_derived() {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        let mut tables: Vec<String> = db
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let captured: Vec<&str> = Part::ALL
            .into_iter()
            .flat_map(|part| [Some(part.table().0), part.auxiliary_table()])
            .flatten()
            .collect();
        tables.retain(|table| !captured.contains(&table.as_str()) && !table.starts_with("search"));
        tables.sort_unstable();
        // Labels derive from the summary, and chunks, segments and the index of metadata from the message. The change events are copied by
        // their positions, and the audit log by its numbers. All other tables belong to this store alone.
        assert_eq!(
            tables,
            [
                "appends",
                "audit",
                "capture",
                "changes",
                "followed",
                "labels",
                "metadata_names",
                "metadata_values",
                "migrations",
                "obsolete_chunks",
                "store",
                "thread_segments",
                "touched"
            ]
        );
    }

    #[test]
    fn a_dirty_row_is_recorded_once_at_its_last_change_and_not_after_the_end() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let capture = begin(&db).unwrap();
        assert_eq!(begin(&db).unwrap(), capture);
        let touch = |name: &str| {
            let sql = "INSERT INTO consumers (tenant, consumer, position, checksum) VALUES ('t', ?1, 0, 0) \
                       ON CONFLICT (tenant, consumer) DO UPDATE SET position = position + 1";
            db.execute(sql, [name]).unwrap();
        };
        let captured = || -> Vec<(i64, i64, i64)> {
            let mut read = db.prepare("SELECT n, kind, row FROM touched ORDER BY n").unwrap();
            let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        touch("a");
        touch("b");
        touch("b");
        touch("a");
        let consumers = i64::from(Part::Consumers as u32);
        assert_eq!(captured(), [(3, consumers, 2), (4, consumers, 1)]);
        assert!(end(&db).unwrap() && !end(&db).unwrap());
        touch("a");
        assert_eq!(captured(), []);
        assert_eq!(present(&db).unwrap(), None);
    }
}
