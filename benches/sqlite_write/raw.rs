use std::{
    path::Path,
    time::{Duration, Instant},
};

use throughline::{Content, MessageId};

use crate::{
    Failure,
    row::{INSERT, SCHEMA},
    text::TEXT,
};

/// Inserts with one prepared statement on one rusqlite connection, `rows` inserts per durable transaction.
pub(crate) struct Raw {
    connection: rusqlite::Connection,
    rows: usize,
    /// The number of threads that the inserts alternate between.
    threads: i64,
    written: i64,
}

impl Raw {
    /// With `rows` of 1, each insert commits by itself, without an explicit transaction.
    pub(crate) fn open(path: &Path, rows: usize, threads: i64) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        let mut raw = Self { connection, rows, threads, written: 0 };
        raw.run(Duration::from_millis(50))?;
        Ok(raw)
    }

    /// Returns writes per second.
    pub(crate) fn run(&mut self, span: Duration) -> Result<f64, Failure> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        let (begun, before) = (Instant::now(), self.written);
        while begun.elapsed() < span {
            if self.rows > 1 {
                self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            }
            for _ in 0..self.rows {
                let (id, content) = (MessageId::mint(), Content::text(TEXT));
                let thread = self.written % self.threads;
                insert.execute(rusqlite::params![thread, id.as_str(), self.written, content.as_json()])?;
                self.written += 1;
            }
            if self.rows > 1 {
                self.connection.prepare_cached("COMMIT")?.execute([])?;
            }
        }
        Ok((self.written - before) as f64 / begun.elapsed().as_secs_f64())
    }
}
