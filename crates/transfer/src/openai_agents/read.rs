//! Reads the sessions of a SQLite file.

use std::fs;

use rusqlite::{Connection, Row, types::ValueRef};
use throughline_core::{MessageId, NewThread, ThreadId, Timestamp, messages::ImportRow, threads::ForkPoint};

use super::OpenAiAgents;
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    iso8601,
    line_reader::object,
    object::quoted,
    record,
    responses_item::Item,
};

/// The required columns of the table of messages.
const REQUIRED: [&str; 4] = ["id", "session_id", "message_data", "created_at"];
/// The table of branches.
const BRANCHES: &str = "message_structure";
/// The branch that is the session itself.
const MAIN: &str = "main";

/// Checks the columns of the table of messages.
pub(super) fn check(db: &Connection, source: &OpenAiAgents) -> Result<(), TransferError> {
    let names = columns(db, &source.messages).map_err(|error| source.failed(error))?;
    let (path, table) = (source.path.clone(), source.messages.clone());
    if names.is_empty() {
        return Err(TransferError::NoTable { path, table });
    }
    let missing =
        REQUIRED.iter().filter(|column| !names.iter().any(|name| name.eq_ignore_ascii_case(column)));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(TransferError::NoColumns { path, table, missing }) }
}

fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    // A view could compute its rows without an end.
    let sql = "SELECT c.name FROM pragma_table_info(?1) c JOIN pragma_table_list t \
               ON t.schema = 'main' AND t.type = 'table' AND t.name = ?1 COLLATE NOCASE ORDER BY c.cid";
    db.prepare(sql)?.query_map([table], |row| row.get(0))?.collect()
}

fn sql_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Source for OpenAiAgents {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.expect(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let db = self.connect()?;
        let failed = |error| self.failed(error);
        let snapshot = db.unchecked_transaction().map_err(failed)?;
        check(&snapshot, self)?;
        let has_branches = !columns(&snapshot, BRANCHES).map_err(failed)?.is_empty();
        let has_sessions = !columns(&snapshot, &self.sessions).map_err(failed)?.is_empty();
        let mut reader =
            Reader { source: self, db: &snapshot, has_branches, has_sessions, sink, report, progress };
        // `None` means that the receiver stopped.
        let _ = reader.sessions().map_err(failed)?;
        Ok(())
    }
}

struct Reader<'a> {
    source: &'a OpenAiAgents,
    db: &'a Connection,
    has_branches: bool,
    has_sessions: bool,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    progress: &'a Progress,
}

impl Reader<'_> {
    fn location(&self, row: i64) -> Location {
        Location::Row { table: self.source.messages.clone(), row: row.to_string() }
    }

    /// Reads every session, in the order of the first messages. It holds the id of one session at a time.
    fn sessions(&mut self) -> rusqlite::Result<Option<()>> {
        let messages = sql_name(&self.source.messages);
        let odd = format!("SELECT id FROM {messages} WHERE typeof(session_id) <> 'text'");
        for id in self.db.prepare(&odd)?.query_map([], |row| row.get::<_, i64>(0))? {
            let location = self.location(id?);
            self.report.skip(&location, FindingKind::NoValue { column: "session_id", expected: "text" });
        }
        let sql = format!(
            "SELECT session_id, min(id) FROM {messages} WHERE typeof(session_id) = 'text' \
             GROUP BY session_id ORDER BY min(id)"
        );
        let mut statement = self.db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let location = self.location(row.get(1)?);
            let id = match row.get_ref(0)?.as_str().map(ThreadId::new) {
                Ok(Ok(id)) => id,
                Ok(Err(error)) => {
                    self.report.skip(&location, FindingKind::InvalidId(error));
                    continue;
                }
                Err(_) => {
                    self.report.skip(&location, FindingKind::NotUtf8("session_id"));
                    continue;
                }
            };
            if self.session(&id, &location)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn session(&mut self, id: &ThreadId, location: &Location) -> rusqlite::Result<Option<()>> {
        let branches = if self.has_branches { self.branches(id)? } else { Vec::new() };
        let messages = sql_name(&self.source.messages);
        let new = self.thread(id)?;
        // The main branch, and messages of before the table of branches.
        let of_main = format!(
            "SELECT m.id, m.message_data, m.created_at FROM {messages} m WHERE m.session_id = ?1 {} ORDER BY m.id",
            if self.has_branches {
                "AND (EXISTS (SELECT 1 FROM message_structure s WHERE s.session_id = ?1 AND s.message_id = m.id \
                  AND s.branch_id = 'main') OR NOT EXISTS (SELECT 1 FROM message_structure s \
                  WHERE s.session_id = ?1 AND s.message_id = m.id))"
            } else {
                ""
            }
        );
        if self.conversation(id, new, &of_main, &[id.as_str()], location)?.is_none() {
            return Ok(None);
        }
        for branch in branches {
            let Ok(fork) = ThreadId::new(format!("{id}/{branch}")) else {
                self.report.skip(
                    location,
                    FindingKind::Unreadable(format!("the id of branch `{branch}` is too long")),
                );
                continue;
            };
            let mut new =
                self.thread(&fork)?.with_metadata(record::metadata(record::PARENT, quoted(id.as_str())));
            let shared = "SELECT max(s.message_id) FROM message_structure s JOIN message_structure o \
                          ON o.session_id = s.session_id AND o.message_id = s.message_id AND o.branch_id = 'main' \
                          WHERE s.session_id = ?1 AND s.branch_id = ?2";
            let shared: Option<i64> = self.db.query_row(shared, [id.as_str(), &branch], |row| row.get(0))?;
            if let Some(last) = shared {
                new = new.forked_from(ForkPoint { thread: id.clone(), message: item_id(last) });
            }
            let of_branch = format!(
                "SELECT m.id, m.message_data, m.created_at FROM message_structure s JOIN {messages} m \
                 ON m.id = s.message_id WHERE s.session_id = ?1 AND s.branch_id = ?2 \
                 GROUP BY m.id ORDER BY min(s.sequence_number), m.id"
            );
            if self.conversation(&fork, new, &of_branch, &[id.as_str(), &branch], location)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Returns the branches of a session but the main one.
    fn branches(&self, id: &ThreadId) -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT branch_id FROM message_structure WHERE session_id = ?1 AND typeof(branch_id) = 'text' \
                   AND branch_id <> ?2 GROUP BY branch_id ORDER BY min(id)";
        self.db.prepare(sql)?.query_map([id.as_str(), MAIN], |row| row.get(0))?.collect()
    }

    fn thread(&self, id: &ThreadId) -> rusqlite::Result<NewThread> {
        let new = record::thread(Format::OpenAiAgents, id);
        if !self.has_sessions {
            return Ok(new);
        }
        let sql = format!("SELECT created_at FROM {} WHERE session_id = ?1", sql_name(&self.source.sessions));
        let Ok(mut statement) = self.db.prepare(&sql) else { return Ok(new) };
        let mut rows = statement.query([id.as_str()])?;
        let created_at = rows.next()?.and_then(|row| time(row.get_ref(0).ok()?));
        Ok(match created_at {
            Some(created_at) => new.created_at(created_at),
            None => new,
        })
    }

    /// Reads the items of a session or of a branch; `None` if the receiver stopped.
    fn conversation(
        &mut self,
        id: &ThreadId,
        new: NewThread,
        sql: &str,
        parameters: &[&str],
        location: &Location,
    ) -> rusqlite::Result<Option<()>> {
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let conversation = Conversation::new(id.clone(), new, location.clone()).numbered();
        if self.sink.take(Step::Begin(Box::new(conversation))).is_none() {
            return Ok(None);
        }
        let mut before = Timestamp::from_micros(0);
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let location = self.location(number);
            if let Some(row) = self.row(row, number, &mut before, &location)?
                && self.sink.take(Step::Row(Box::new(row), location)).is_none()
            {
                return Ok(None);
            }
        }
        Ok(self.sink.take(Step::End))
    }

    /// Returns the message of a row; `None` if there is none.
    fn row(
        &mut self,
        row: &Row<'_>,
        number: i64,
        before: &mut Timestamp,
        location: &Location,
    ) -> rusqlite::Result<Option<ImportRow>> {
        let ValueRef::Text(bytes) = row.get_ref(1)? else {
            let found = FindingKind::NoValue { column: "message_data", expected: "text" };
            self.report.skip(location, found);
            return Ok(None);
        };
        self.progress.add_read(bytes.len() as u64);
        let time = time(row.get_ref(2)?).unwrap_or_else(|| {
            self.report.warn(location, FindingKind::NoTime("created_at"));
            *before
        });
        *before = time;
        if bytes.len() > OpenAiAgents::MAX_ITEM_BYTES {
            self.report.skip(location, FindingKind::TooLarge { max: OpenAiAgents::MAX_ITEM_BYTES });
            return Ok(None);
        }
        let item = match object(bytes) {
            Ok(item) => item,
            Err(found) => {
                self.report.skip(location, found);
                return Ok(None);
            }
        };
        let id = item_id(number);
        Ok(Some(match Item::of(&item) {
            Ok(Item { role, content, rest, warning }) => {
                if let Some(found) = warning {
                    self.report.warn(location, found);
                }
                let mut row = ImportRow::new(id, role, content, time);
                if let Some(rest) = rest {
                    record::keep(&mut row, rest);
                }
                row
            }
            Err(found) => {
                self.report.warn(location, found);
                record::kept_whole(id, item.text(), time)
            }
        }))
    }
}

fn item_id(row: i64) -> MessageId {
    MessageId::new(format!("item-{row}")).expect("short, without controls")
}

/// Returns a time: ISO 8601, or seconds since 1970.
fn time(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Text(text) => iso8601::parse(str::from_utf8(text).ok()?),
        ValueRef::Integer(seconds) => seconds.checked_mul(1_000_000).map(Timestamp::from_micros),
        _ => None,
    }
}
