//! The branches of sessions.

use rusqlite::{Connection, OptionalExtension as _};
use throughline_core::ThreadId;

/// The table of branches.
pub(super) const TABLE: &str = "message_structure";
/// The branch that is the session itself.
pub(super) const MAIN: &str = "main";

/// Copies the table of branches, with an index by message. The table of the package has none, so that each look-up would
/// read a whole branch. SQLite keeps the copy in its temporary files.
pub(super) fn copy(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "CREATE TEMP TABLE branch_items (id INTEGER, session_id TEXT, message_id INTEGER, branch_id TEXT, \
         sequence_number INTEGER); \
         INSERT INTO branch_items SELECT id, session_id, message_id, branch_id, sequence_number FROM {TABLE} WHERE typeof(session_id) = 'text' AND typeof(branch_id) = 'text'; \
         CREATE INDEX temp.branch_items_by_message ON branch_items (message_id, session_id, branch_id); \
         CREATE INDEX temp.branch_items_by_branch ON branch_items (session_id, branch_id, sequence_number);"
    ))
}

/// Returns the branches of a session but the main one, in the order of their creation.
pub(super) fn of(db: &Connection, session: &ThreadId) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT branch_id FROM branch_items WHERE session_id = ?1 AND branch_id <> ?2 \
               GROUP BY branch_id ORDER BY min(id)";
    db.prepare_cached(sql)?.query_map([session.as_str(), MAIN], |row| row.get(0))?.collect()
}

/// Returns the earlier branch that a branch leaves, and the last item that both have. A branch begins with a copy of
/// another one, which is the one that has most items in common with it.
pub(super) fn left(
    db: &Connection,
    session: &ThreadId,
    branch: &str,
) -> rusqlite::Result<Option<(String, i64)>> {
    let sql = "SELECT o.branch_id, max(s.message_id) FROM branch_items s JOIN branch_items o \
               ON o.message_id = s.message_id AND o.branch_id <> s.branch_id AND o.session_id = s.session_id \
               WHERE s.session_id = ?1 AND s.branch_id = ?2 GROUP BY o.branch_id \
               HAVING o.branch_id = ?3 OR min(o.id) < min(s.id) \
               ORDER BY count(*) DESC, o.branch_id <> ?3, min(o.id) LIMIT 1";
    db.prepare_cached(sql)?
        .query_row([session.as_str(), branch, MAIN], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Selects the items of the main branch of a session, and those of before the table of branches. `messages` is the table of
/// messages as SQL.
pub(super) fn select_main(messages: &str) -> String {
    format!(
        "SELECT m.id, m.message_data, m.created_at FROM {messages} m WHERE m.session_id = ?1 \
         AND (EXISTS (SELECT 1 FROM branch_items b \
         WHERE b.message_id = m.id AND b.session_id = ?1 AND b.branch_id = '{MAIN}') \
         OR NOT EXISTS (SELECT 1 FROM branch_items b \
         WHERE b.message_id = m.id AND b.session_id = ?1)) ORDER BY m.id"
    )
}

/// Selects the items of a branch of a session.
pub(super) fn select(messages: &str) -> String {
    format!(
        "SELECT m.id, m.message_data, m.created_at FROM branch_items b JOIN {messages} m ON m.id = b.message_id \
         WHERE b.session_id = ?1 AND b.branch_id = ?2 GROUP BY m.id ORDER BY min(b.sequence_number), m.id"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use super::*;

    const ITEMS: u64 = 5_000;

    /// Returns a session whose main branch and another one have the same items, without any index.
    fn session() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!(
            "CREATE TABLE n AS WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT {ITEMS}) SELECT i FROM n;
             CREATE TABLE m (id INTEGER PRIMARY KEY, session_id, message_data, created_at);
             CREATE TABLE message_structure (id INTEGER PRIMARY KEY, session_id, message_id, branch_id, sequence_number);
             INSERT INTO m SELECT i, 's', '{{}}', 1 FROM n;
             INSERT INTO message_structure SELECT i, 's', i, 'main', i FROM n;
             INSERT INTO message_structure SELECT {ITEMS} + i, 's', i, 'b', {ITEMS} + i FROM n;"
        ))
        .unwrap();
        db
    }

    #[test]
    fn the_work_for_a_branch_grows_with_its_items() {
        let (db, steps) = (session(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&steps);
        let count = move || {
            counted.fetch_add(100, Relaxed);
            false
        };
        db.progress_handler(100, Some(count)).unwrap();
        let thread = "s".parse().unwrap();
        copy(&db).unwrap();
        assert_eq!(of(&db, &thread).unwrap(), ["b"]);
        assert_eq!(left(&db, &thread, "b").unwrap(), Some(("main".to_owned(), ITEMS as i64)));
        for sql in [select_main("m"), select("m")] {
            let mut statement = db.prepare(&sql).unwrap();
            let branch = ["s", "b"];
            let parameters = rusqlite::params_from_iter(&branch[..statement.parameter_count()]);
            let ids: Vec<i64> =
                statement.query_map(parameters, |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            assert_eq!((ids.len() as u64, ids[0], ids[1]), (ITEMS, 1, 2), "{sql}");
        }
        // Some hundred instructions for each item; with each branch read for each item it is 5,000 times as many.
        assert!(steps.load(Relaxed) < 500 * ITEMS, "{} instructions", steps.load(Relaxed));
    }
}
