use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Statement, params};
use throughline::{Content, MessageId};

use crate::{
    Failure,
    row::{INSERT, SCHEMA},
    text::TEXT,
};

/// The other facts of a write: a thread summary, a change entry and the position of the store. The list of threads has
/// no index here, although the store has one.
const FACTS: &str = "
    CREATE TABLE threads (
        thread_pk INTEGER PRIMARY KEY,
        thread TEXT NOT NULL UNIQUE,
        last_seq INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        active_at INTEGER NOT NULL,
        preview TEXT NOT NULL
    ) STRICT;
    CREATE TABLE changes (
        position INTEGER PRIMARY KEY,
        thread_pk INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        at INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        message_id TEXT NOT NULL
    ) STRICT;
    CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL) STRICT;
    INSERT INTO store VALUES (1, 0);
    INSERT INTO threads VALUES (1, 'thread-0', 0, 0, 0, 0, '');";

const ADVANCE: &str = "UPDATE store SET position = position + 1 WHERE id = 1 RETURNING position";
const SUMMARIZE: &str =
    "UPDATE threads SET last_seq = last_seq + 1, messages = messages + 1, bytes = bytes + ?2,
    active_at = ?3, preview = ?4 WHERE thread_pk = ?1 RETURNING last_seq";
const RECORD: &str = "INSERT INTO changes (position, thread_pk, kind, at, seq, message_id)
    VALUES (?1, ?2, 1, ?3, ?4, ?5)";

/// Keeps the facts of each write by hand: the message, the summary of its thread, a change entry and the position of the
/// store, with prepared statements in one durable transaction, on one rusqlite connection.
pub(crate) struct Facts {
    connection: rusqlite::Connection,
    written: i64,
}

impl Facts {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(FACTS)?;
        let mut facts = Self { connection, written: 0 };
        facts.run(Duration::from_millis(50))?;
        Ok(facts)
    }

    /// Returns writes per second.
    pub(crate) fn run(&mut self, span: Duration) -> Result<f64, Failure> {
        let mut statements = Statements::prepare(&self.connection)?;
        let (begun, before) = (Instant::now(), self.written);
        while begun.elapsed() < span {
            statements.write(self.written)?;
            self.written += 1;
        }
        Ok((self.written - before) as f64 / begun.elapsed().as_secs_f64())
    }
}

struct Statements<'a> {
    begin: Statement<'a>,
    advance: Statement<'a>,
    summarize: Statement<'a>,
    insert: Statement<'a>,
    record: Statement<'a>,
    commit: Statement<'a>,
}

impl<'a> Statements<'a> {
    fn prepare(connection: &'a rusqlite::Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            advance: connection.prepare(ADVANCE)?,
            summarize: connection.prepare(SUMMARIZE)?,
            insert: connection.prepare(INSERT)?,
            record: connection.prepare(RECORD)?,
            commit: connection.prepare("COMMIT")?,
        })
    }

    fn write(&mut self, at: i64) -> rusqlite::Result<()> {
        const THREAD: i64 = 1;
        let (id, content) = (MessageId::mint(), Content::text(TEXT));
        let bytes = i64::try_from(content.as_json().len()).unwrap_or(i64::MAX);
        let preview: &str = TEXT.get(..80).unwrap_or(TEXT);
        self.begin.execute([])?;
        let position: i64 = one(&mut self.advance, [])?;
        let seq: i64 = one(&mut self.summarize, params![THREAD, bytes, at, preview])?;
        self.insert.execute(params![THREAD, id.as_str(), seq, content.as_json()])?;
        self.record.execute(params![position, THREAD, at, seq, id.as_str()])?;
        self.commit.execute([])?;
        Ok(())
    }
}

/// Runs a statement that returns one number.
fn one(statement: &mut Statement<'_>, parameters: impl rusqlite::Params) -> rusqlite::Result<i64> {
    statement.query_row(parameters, |row| row.get(0))
}
