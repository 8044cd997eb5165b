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

    /// How long the writer waits for a write before it [looks](Self::look).
    pub(super) fn patience(&self) -> Option<Duration> {
        (self.sender.receiver_count() > 0).then_some(LOOK)
    }

    /// This process has committed.
    pub(super) fn committed(&self, position: i64) {
        let position = Position::new(u64::try_from(position).unwrap_or_default());
        self.sender.send_replace(position);
    }

    /// Tells of what another process has committed.
    pub(super) fn look(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.sender.receiver_count() == 0 {
            self.version = None;
            return Ok(());
        }
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version) != Some(version) {
            // The first look, too: others may have committed since the last one who followed left.
            self.sender.send_modify(|_| {});
        }
        Ok(())
    }
}
