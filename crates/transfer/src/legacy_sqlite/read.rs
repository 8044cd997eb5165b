use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, Row, params, types::Value};
use throughline_core::{NewThread, ThreadId, Timestamp};

use super::{
    Columns, LegacySqliteOptions,
    columns::{CREATED_AT, MESSAGE_ID, REQUIRED, THREAD_ID, quoted},
    row, view,
};
use crate::{
    Found, Place, Report, TransferError,
    intake::{Conversation, Sink, Step},
};

/// A connection that only reads.
pub(super) struct Reader {
    path: PathBuf,
    db: Connection,
}

/// What the rows are read from: the table, or the copy of what a view computes.
struct Source {
    /// As SQL.
    table: String,
    /// As SQL, in the order in which [`row::message`] takes them.
    columns: Vec<String>,
    /// A name for the row id; nothing where there is none.
    row_id: Option<&'static str>,
    is_copy: bool,
}

/// A row where it stands in its thread.
struct Spot {
    created_at: Timestamp,
    message_id: String,
    /// The row id; of a table without, nothing.
    row_id: i64,
}

/// The rows of one thread, as far as they have been met.
struct Group {
    /// As it stands in the table.
    name: Value,
    /// Nothing where no store takes it.
    thread: Result<ThreadId, Found>,
    spots: Vec<Spot>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, TransferError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags);
        let db = opened.map_err(|source| TransferError::Database { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), db })
    }

    fn failed(&self, source: rusqlite::Error) -> TransferError {
        TransferError::Database { path: self.path.clone(), source }
    }

    /// The columns of a table.
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
    ) -> Result<(), TransferError> {
        let failed = |source| self.failed(source);
        let moment = self.db.unchecked_transaction().map_err(failed)?;
        let columns = self.columns(&options.table)?;
        let source = self.source(&options.table, &columns)?;
        let mut walk = Walk { reader: self, options, columns: &columns, source: &source, sink, report };
        // Who wants no more has gone away.
        let _ = walk.threads().map_err(failed)?;
        moment.finish().map_err(failed)
    }

    /// The table, or a copy of the view that stands in its place: a row of a view is found by computing all of them.
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
            Err(what) => {
                Err(TransferError::UnboundedView { path: self.path.clone(), table: table.to_owned(), what })
            }
        }
    }
}

/// A pass over the table.
struct Walk<'a> {
    reader: &'a Reader,
    options: &'a LegacySqliteOptions,
    columns: &'a Columns,
    source: &'a Source,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
}

impl Walk<'_> {
    fn place(&self, row_id: i64, message_id: &str) -> Place {
        // The row ids of a copy are its own.
        let has_row_id = self.source.row_id.is_some() && !self.source.is_copy;
        let row = if has_row_id { row_id.to_string() } else { message_id.to_owned() };
        Place::Row { table: self.options.table.clone(), row }
    }

    /// Finds where the rows of each thread stand, and reads them thread by thread. Memory holds the ids and times of one
    /// thread.
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
            // What is no text is told apart from others, and names no thread.
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
                self.spot(row, group)?;
            }
        }
        match group {
            Some(whole) => self.thread(whole),
            None => Ok(Some(())),
        }
    }

    /// Takes down where a row stands, or why it is left out.
    fn spot(&mut self, row: &Row<'_>, group: &mut Group) -> rusqlite::Result<()> {
        let row_id: i64 = row.get(1)?;
        let message_id = row::text(row.get_ref(2)?, "message_id");
        let created_at = row::time(row.get_ref(3)?, "created_at");
        let place = self.place(row_id, message_id.as_ref().copied().unwrap_or("?"));
        match (&group.thread, message_id, created_at) {
            (Err(found), ..) => self.report.skip(&place, found.clone()),
            (_, Err(found), _) | (_, _, Err(found)) => self.report.skip(&place, found),
            (Ok(_), Ok(message_id), Ok(created_at)) => {
                group.spots.push(Spot { created_at, message_id: message_id.to_owned(), row_id });
            }
        }
        Ok(())
    }

    /// Reads the rows of a thread in their order.
    fn thread(&mut self, group: Group) -> rusqlite::Result<Option<()>> {
        let Group { name, thread, mut spots } = group;
        let Ok(id) = thread else { return Ok(Some(())) };
        spots.sort_by(|a, b| (a.created_at, &a.message_id).cmp(&(b.created_at, &b.message_id)));
        let others = &self.columns.others;
        let Source { table, columns, row_id, .. } = self.source;
        let by = match row_id {
            Some(row_id) => format!("{row_id} = ?1"),
            None => "thread_id IS ?1 COLLATE BINARY AND message_id = ?2 COLLATE BINARY".to_owned(),
        };
        let sql = format!("SELECT {} FROM {table} WHERE {by}", columns.join(", "));
        let mut one = self.reader.db.prepare_cached(&sql)?;
        let mut begun = false;
        let mut ids = HashSet::with_capacity(spots.len());
        for spot in &spots {
            let place = self.place(spot.row_id, &spot.message_id);
            let made = |row: &Row<'_>| row::message(row, others, self.options.streaming);
            let made = match row_id {
                Some(_) => one.query_row([spot.row_id], made)?,
                None => one.query_row(params![name, spot.message_id], made)?,
            };
            let message = match made {
                Ok(_) if !ids.insert(&spot.message_id) => {
                    self.report.skip(&place, Found::Twice);
                    continue;
                }
                Ok(message) => message,
                Err(found) => {
                    self.report.skip(&place, found);
                    continue;
                }
            };
            for name in others {
                if message.metadata.get(&format!("legacy.{name}")).is_some() {
                    self.report.unknown(name.clone());
                }
            }
            if !begun {
                begun = true;
                // Those before it could not be taken: what is left of the thread begins here.
                let new = NewThread::new().created_at(message.created_at);
                let conversation =
                    Conversation { id: id.clone(), new, archived: false, place: Place::Thread(id.clone()) };
                if self.sink.take(Step::Begin(Box::new(conversation))).is_none() {
                    return Ok(None);
                }
            }
            if self.sink.take(Step::Row(Box::new(message), place)).is_none() {
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
            _ => Err(Found::NoValue { column: "thread_id", expected: "text" }),
        };
        let thread = text.and_then(|text| ThreadId::new(text).map_err(Found::InvalidId));
        Self { name, thread, spots: Vec::new() }
    }
}
