//! Reads the sessions of a SQLite file.

use std::fs;

use rusqlite::{Connection, Row, types::ValueRef};
use throughline_core::{MessageId, NewThread, ThreadId, Timestamp, messages::ImportRow, threads::ForkPoint};

use super::{
    OpenAiAgents, branches,
    tables::{self, Tables},
};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    line_reader::object,
    object::quoted as json_quoted,
    record,
    responses_item::Item,
    sqlite_file::{self, quoted},
};

/// The table with the usage of turns.
const USAGE: &str = "turn_usage";

impl Source for OpenAiAgents {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.expect(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let failed = sqlite_file::failed(&self.path);
        let db = sqlite_file::open(&self.path)?;
        let snapshot = db.unchecked_transaction().map_err(&failed)?;
        let tables = tables::of(&snapshot, self)?;
        if tables.iter().any(|tables| tables.has_branches) {
            branches::copy(&snapshot).map_err(&failed)?;
        }
        for tables in &tables {
            let mut reader = Reader { tables, db: &snapshot, sink, report, progress };
            // `None` means that the receiver stopped.
            if reader.sessions().map_err(&failed)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    tables: &'a Tables,
    db: &'a Connection,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    progress: &'a Progress,
}

impl Reader<'_> {
    fn location(&self, row: i64) -> Location {
        Location::Row { table: self.tables.messages.clone(), row: row.to_string() }
    }

    /// Reads every session, in the order of the first messages. It holds the id of one session at a time.
    fn sessions(&mut self) -> rusqlite::Result<Option<()>> {
        let messages = quoted(&self.tables.messages);
        let odd = format!("SELECT id FROM {messages} WHERE typeof(session_id) <> 'text'");
        for id in self.db.prepare(&odd)?.query_map([], |row| row.get::<_, i64>(0))? {
            let location = self.location(id?);
            self.report.skip(&location, FindingKind::NoValue { column: "session_id", expected: "text" });
        }
        let sql = format!(
            "SELECT session_id, min(id) FROM {messages} WHERE typeof(session_id) = 'text' \
             GROUP BY session_id ORDER BY min(id)"
        );
        self.omitted()?;
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

    /// Counts the rows that become no message: sessions without items, and the usage of turns.
    fn omitted(&mut self) -> rusqlite::Result<()> {
        if let Some(sessions) = &self.tables.sessions {
            let sql = format!(
                "SELECT count(*) FROM {} WHERE session_id NOT IN (SELECT session_id FROM {} WHERE session_id IS NOT NULL)",
                quoted(sessions),
                quoted(&self.tables.messages)
            );
            let count: i64 = self.db.query_row(&sql, [], |row| row.get(0))?;
            (0..count).for_each(|_| self.report.omit(sessions.clone()));
        }
        if self.tables.has_branches && !sqlite_file::columns(self.db, USAGE)?.is_empty() {
            let count: i64 =
                self.db.query_row(&format!("SELECT count(*) FROM {USAGE}"), [], |row| row.get(0))?;
            (0..count).for_each(|_| self.report.omit(USAGE.to_owned()));
        }
        Ok(())
    }

    fn session(&mut self, id: &ThreadId, location: &Location) -> rusqlite::Result<Option<()>> {
        let messages = quoted(&self.tables.messages);
        let new = Conversation::new(id.clone(), self.thread(id)?, location.clone());
        let of_main = if self.tables.has_branches {
            branches::select_main(&messages)
        } else {
            format!("SELECT id, message_data, created_at FROM {messages} WHERE session_id = ?1 ORDER BY id")
        };
        if self.conversation(new, &of_main, &[id.as_str()])?.is_none() {
            return Ok(None);
        }
        let branches = if self.tables.has_branches { branches::of(self.db, id)? } else { Vec::new() };
        for branch in branches {
            let Some(new) = self.branch(id, &branch, location)? else { continue };
            let of_branch = branches::select(&messages);
            if self.conversation(new, &of_branch, &[id.as_str(), &branch])?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Returns the conversation of a branch, or reports that its id is too long.
    fn branch(
        &mut self,
        session: &ThreadId,
        branch: &str,
        location: &Location,
    ) -> rusqlite::Result<Option<Conversation>> {
        let thread = |branch: &str| match branch {
            branches::MAIN => Ok(session.clone()),
            _ => ThreadId::new(format!("{session}/{branch}")),
        };
        let id = match thread(branch) {
            Ok(id) => id,
            Err(error) => {
                self.report.skip(location, FindingKind::InvalidId(error));
                return Ok(None);
            }
        };
        let parent = record::metadata(record::PARENT, json_quoted(session.as_str()));
        let mut new = self.thread(session)?.with_id(id.clone()).with_metadata(parent);
        let mut leaves = session.clone();
        let left = branches::left(self.db, session, branch)?;
        if let Some((other, last)) = left
            && let Ok(thread) = thread(&other)
        {
            leaves = thread.clone();
            new = new.forked_from(ForkPoint { thread, message: item_id(last) });
        }
        Ok(Some(Conversation::new(id, new, location.clone()).leaving(leaves)))
    }

    fn thread(&self, id: &ThreadId) -> rusqlite::Result<NewThread> {
        let new = record::thread(Format::OpenAiAgents, id);
        let Some(sessions) = &self.tables.sessions else { return Ok(new) };
        let sql = format!("SELECT created_at FROM {} WHERE session_id = ?1", quoted(sessions));
        let Ok(mut statement) = self.db.prepare_cached(&sql) else { return Ok(new) };
        let mut rows = statement.query([id.as_str()])?;
        let created_at = rows.next()?.and_then(|row| sqlite_file::time(row.get_ref(0).ok()?));
        Ok(match created_at {
            Some(created_at) => new.created_at(created_at),
            None => new,
        })
    }

    /// Reads the items of a session or of a branch; `None` if the receiver stopped.
    fn conversation(
        &mut self,
        new: Conversation,
        sql: &str,
        parameters: &[&str],
    ) -> rusqlite::Result<Option<()>> {
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        if self.sink.take(Step::Begin(Box::new(new.numbered()))).is_none() {
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
        let time = sqlite_file::time(row.get_ref(2)?).unwrap_or_else(|| {
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
