//! Telling those who follow the changes that there are new ones.
//!
//! What this process commits it tells of itself. What others commit is seen in a number that SQLite keeps for each
//! connection; the writer looks at it while it has nothing to write, and only while somebody follows.

use std::time::Duration;

use rusqlite::Connection;
use throughline_core::Position;
use tokio::sync::watch;

/// How often it is looked whether another process has committed.
const LOOK: Duration = Duration::from_millis(25);

/// The same where only an index of words is kept.
const LOOK_FOR_THE_INDEX: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Signs {
    sender: watch::Sender<Position>,
    /// The number at the last look.
    version: Option<i64>,
}

impl Signs {
    pub(super) const fn new(sender: watch::Sender<Position>) -> Self {
        Self { sender, version: None }
    }

    /// How long the writer waits for a write before it [looks](Self::look): for those who follow, and for an index.
    pub(super) fn patience(&self, has_index: bool) -> Option<Duration> {
        match (self.sender.receiver_count() > 0, has_index) {
            (true, _) => Some(LOOK),
            (false, true) => Some(LOOK_FOR_THE_INDEX),
            (false, false) => None,
        }
    }

    /// The number of another connection says nothing about the commits that the one before has seen.
    pub(super) const fn reopened(&mut self) {
        self.version = None;
    }

    /// This process has committed.
    pub(super) fn committed(&self, position: i64) {
        let position = Position::new(u64::try_from(position).unwrap_or_default());
        self.sender.send_replace(position);
    }

    /// Tells of what another process has committed; says whether one has, as far as can be told.
    pub(super) fn look(&mut self, connection: &Connection, has_index: bool) -> rusqlite::Result<bool> {
        if self.sender.receiver_count() == 0 && !has_index {
            self.version = None;
            return Ok(false);
        }
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        // The first look, too: others may have committed since the last one who followed left.
        let is_new = self.version.replace(version) != Some(version);
        if is_new {
            self.sender.send_modify(|_| {});
        }
        Ok(is_new)
    }
}
