use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Row, params, types::Value};
use throughline_core::{MessageId, NewThread, ThreadId, Timestamp};

use super::{
    Columns, LegacySqliteOptions,
    columns::{CREATED_AT, MESSAGE_ID, REQUIRED, THREAD_ID},
    row, view,
};
use crate::{
    FindingKind, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Step},
    sqlite_file::{self, quoted},
};

/// A read-only connection.
pub(super) struct Reader {
    path: PathBuf,
    db: Connection,
}

/// The source of the rows: the table, or the copy of a view.
struct Source {
    /// The table name, quoted for SQL.
    table: String,
    /// The column names, quoted for SQL, in the order of [`row::message`].
    columns: Vec<String>,
    /// A name for the row id; none for a table without row ids.
    row_id: Option<&'static str>,
    is_copy: bool,
}

/// The position of a row in its thread.
struct RowPosition {
    created_at: Timestamp,
    message_id: String,
    /// The row id; zero for a table without row ids.
    row_id: i64,
}

/// The rows of one thread that were read so far.
struct Group {
    /// The thread id as the table has it.
    name: Value,
    /// An error for an invalid thread id.
    thread: Result<ThreadId, FindingKind>,
    positions: Vec<RowPosition>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, TransferError> {
        let db = sqlite_file::open(path)?;
        Ok(Self { path: path.to_owned(), db })
    }

    fn failed(&self, source: rusqlite::Error) -> TransferError {
        sqlite_file::failed(&self.path)(source)
    }

    /// Returns the columns of a table.
    pub(super) fn columns(&self, table: &str) -> Result<Columns, TransferError> {
        let names: rusqlite::Result<Vec<String>> = self
            .db
            .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
            .and_then(|mut names| names.query_map([table], |row| row.get(0))?.collect());
        let names = names.map_err(|source| self.failed(source))?;
        if names.is_empty() {
            return Err(TransferError::NoTable { path: self.path.clone(), table: table.to_owned() });
        }
        let others = Columns::of(&names).map_err(|missing| TransferError::NoColumns {
            path: self.path.clone(),
            table: table.to_owned(),
            missing,
        })?;
        let is_taken = |name: &str| names.iter().any(|column| column.eq_ignore_ascii_case(name));
        let row_id = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_taken(name));
        let has_row_ids =
            |name: &&str| self.db.prepare(&format!("SELECT {name} FROM {}", quoted(table))).is_ok();
        Ok(Columns { others, row_id: row_id.filter(has_row_ids) })
    }

    /// Reads every row, thread by thread, in one transaction.
    pub(super) fn read(
        &self,
        options: &LegacySqliteOptions,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let failed = |source| self.failed(source);
        let snapshot = self.db.unchecked_transaction().map_err(failed)?;
        let columns = self.columns(&options.table)?;
        let source = self.source(&options.table, &columns)?;
        let mut walk =
            Walk { reader: self, options, columns: &columns, source: &source, sink, report, progress };
        // `None` means that the receiver stopped.
        let _ = walk.threads().map_err(failed)?;
        snapshot.finish().map_err(failed)
    }

    /// Returns the table, or a copy if it is a view, because finding one row of a view computes all of them.
    fn source(&self, table: &str, columns: &Columns) -> Result<Source, TransferError> {
        let failed = |source| self.failed(source);
        let names = REQUIRED.iter().copied().chain(columns.others.iter().map(String::as_str));
        let names: Vec<String> = names.map(quoted).collect();
        if !view::is_computed(&self.db, table).map_err(failed)? {
            let (table, row_id) = (quoted(table), columns.row_id);
            return Ok(Source { table, columns: names, row_id, is_copy: false });
        }
        match view::copy(&self.db, table, &names, view::BOUNDS).map_err(failed)? {
            Ok(()) => {
                let columns = (0..names.len()).map(view::column).collect();
                Ok(Source { table: view::COPY.to_owned(), columns, row_id: Some("rowid"), is_copy: true })
            }
            Err(bound) => {
                Err(TransferError::UnboundedView { path: self.path.clone(), table: table.to_owned(), bound })
            }
        }
    }
}

/// A pass through the table.
struct Walk<'a> {
    reader: &'a Reader,
    options: &'a LegacySqliteOptions,
    columns: &'a Columns,
    source: &'a Source,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    progress: &'a Progress,
}

impl Walk<'_> {
    fn location(&self, row_id: i64, message_id: &str) -> Location {
        // The row ids of a copy are not those of the view.
        let has_row_id = self.source.row_id.is_some() && !self.source.is_copy;
        let row = if has_row_id { row_id.to_string() } else { message_id.to_owned() };
        Location::Row { table: self.options.table.clone(), row }
    }

    /// Finds the rows of each thread, and reads them thread by thread. It holds the ids and times of one thread in
    /// memory.
    fn threads(&mut self) -> rusqlite::Result<Option<()>> {
        let Source { table, columns, row_id, .. } = self.source;
        let [thread_id, message_id, created_at] = [THREAD_ID, MESSAGE_ID, CREATED_AT].map(|at| &columns[at]);
        let sql = format!(
            "SELECT {thread_id}, {}, {message_id}, {created_at} FROM {table} ORDER BY {thread_id} COLLATE BINARY",
            row_id.unwrap_or("0")
        );
        let mut statement = self.reader.db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut group: Option<Group> = None;
        while let Some(row) = rows.next()? {
            // Values that are no text are still distinct, but name no thread.
            let name = row.get_ref(0)?;
            let name = Value::try_from(name)
                .unwrap_or_else(|_| Value::Blob(name.as_bytes().unwrap_or_default().to_vec()));
            if group.as_ref().is_none_or(|group| group.name != name) {
                if let Some(whole) = group.take()
                    && self.thread(whole)?.is_none()
                {
                    return Ok(None);
                }
                group = Some(Group::of(name));
            }
            if let Some(group) = &mut group {
                self.record_position(row, group)?;
            }
        }
        match group {
            Some(whole) => self.thread(whole),
            None => Ok(Some(())),
        }
    }

    /// Records the position of a row, or reports why it is skipped.
    fn record_position(&mut self, row: &Row<'_>, group: &mut Group) -> rusqlite::Result<()> {
        let row_id: i64 = row.get(1)?;
        // Only valid ids are kept, because an invalid one may be as large as a row.
        let message_id = sqlite_file::text(row.get_ref(2)?, "message_id");
        let is_valid = message_id.clone().and_then(|id| MessageId::new(id).map_err(FindingKind::InvalidId));
        let created_at = row::time(row.get_ref(3)?, "created_at");
        let location = self.location(row_id, message_id.as_ref().copied().unwrap_or("?"));
        match (&group.thread, is_valid, created_at) {
            (Err(found), ..) => self.report.skip(&location, found.clone()),
            (_, Err(found), _) | (_, _, Err(found)) => self.report.skip(&location, found),
            (Ok(_), Ok(message_id), Ok(created_at)) => {
                group.positions.push(RowPosition { created_at, message_id: message_id.to_string(), row_id });
            }
        }
        Ok(())
    }

    /// Reads the rows of a thread in their order.
    fn thread(&mut self, group: Group) -> rusqlite::Result<Option<()>> {
        let Group { name, thread, mut positions } = group;
        let Ok(id) = thread else { return Ok(Some(())) };
        positions.sort_by(|a, b| (a.created_at, &a.message_id).cmp(&(b.created_at, &b.message_id)));
        let others = &self.columns.others;
        let Source { table, columns, row_id, .. } = self.source;
        let by = match row_id {
            Some(row_id) => format!("{row_id} = ?1"),
            None => "thread_id IS ?1 COLLATE BINARY AND message_id = ?2 COLLATE BINARY".to_owned(),
        };
        let sql = format!("SELECT {} FROM {table} WHERE {by}", columns.join(", "));
        let mut one = self.reader.db.prepare_cached(&sql)?;
        let mut begun = false;
        let mut ids = HashSet::with_capacity(positions.len());
        for position in &positions {
            let location = self.location(position.row_id, &position.message_id);
            let made = |row: &Row<'_>| row::message(row, others, self.options.streaming);
            let made = match row_id {
                Some(_) => one.query_row([position.row_id], made)?,
                None => one.query_row(params![name, position.message_id], made)?,
            };
            let message = match made {
                Ok(_) if !ids.insert(&position.message_id) => {
                    self.report.skip(&location, FindingKind::Twice);
                    continue;
                }
                Ok(message) => message,
                Err(found) => {
                    self.report.skip(&location, found);
                    continue;
                }
            };
            self.progress.add_read((message.content.byte_len() + message.metadata.byte_len()) as u64);
            for name in others {
                if message.metadata.get(&format!("legacy.{name}")).is_some() {
                    self.report.unknown(name.clone());
                }
            }
            if !begun {
                begun = true;
                // Earlier rows may have been skipped: the thread begins with the first imported row.
                let new = NewThread::new().created_at(message.created_at);
                let conversation = Conversation::new(id.clone(), new, Location::Thread(id.clone()));
                if self.sink.take(Step::Begin(Box::new(conversation))).is_none() {
                    return Ok(None);
                }
            }
            if self.sink.take(Step::Row(Box::new(message), location)).is_none() {
                return Ok(None);
            }
        }
        Ok(if begun { self.sink.take(Step::End) } else { Some(()) })
    }
}

impl Group {
    fn of(name: Value) -> Self {
        let text = match &name {
            Value::Text(text) => Ok(text.as_str()),
            _ => Err(FindingKind::NoValue { column: "thread_id", expected: "text" }),
        };
        let thread = text.and_then(|text| ThreadId::new(text).map_err(FindingKind::InvalidId));
        Self { name, thread, positions: Vec::new() }
    }
}
