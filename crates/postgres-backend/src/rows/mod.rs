//! What a transaction knows of the store: read in few round trips for all of its operations, changed in memory by the rules of
//! the core, and written in few round trips.
//!
//! An operation is decided as if everything were in memory. Where it looks for a row that was not read yet it is
//! [halted](Halt::Unread) and undone, the row is noted, and it is decided anew once everything that was noted has been read. So
//! what is read follows from what is decided, and stands in no second list.

mod key;
mod message;
mod name;
mod piece;
mod range;
mod session;
mod table;
mod thread;
mod told;
mod writing;

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use throughline_core::{MessageId, PersistError, TenantId, ThreadId};

pub(crate) use self::{
    key::KeyRow,
    message::{MessageRow, SELECTED, message_columns},
    name::{By, NameQuery, NewName, alias_of, name_columns},
    piece::{Growth, Piece},
    range::{Range, RangeKey},
    session::{AgentKey, HeadKey, SessionRange, decode, json, whose},
    table::{Log, Table},
    thread::{ThreadRow, thread_columns},
    told::Told,
    writing::Writing,
};
use throughline_core::{
    AttemptId, Content, IdempotencyKey, RuntimeId, SessionId,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
};

/// Why an operation is not applied.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It looked for what was not read yet.
    Unread,
    /// It is refused.
    Refused(PersistError),
}

impl From<PersistError> for Halt {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

pub(crate) type Found<T> = Result<T, Halt>;

pub(crate) type ThreadKey = (TenantId, ThreadId);
pub(crate) type MessageKey = (ThreadKey, MessageId);

/// What a transaction knows and has changed.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) threads: Table<ThreadKey, ThreadRow>,
    pub(crate) messages: Table<MessageKey, MessageRow>,
    /// The whole content of messages; of open ones, with the pieces that were committed before.
    pub(crate) contents: Table<MessageKey, Content>,
    pub(crate) keys: Table<(ThreadKey, IdempotencyKey), KeyRow>,
    pub(crate) names: Table<NameQuery, Vec<KnownName>>,
    pub(crate) ranges: Table<RangeKey, Vec<MessageId>>,
    pub(crate) agents: Table<AgentKey, AgentRecord>,
    pub(crate) runtimes: Table<(TenantId, RuntimeId), u64>,
    pub(crate) heads: Table<HeadKey, SessionHead>,
    pub(crate) sessions: Table<(HeadKey, SessionId), KnownSession>,
    pub(crate) attempts: Table<(HeadKey, AttemptId), AttemptRecord>,
    pub(crate) session_ranges: Table<(HeadKey, SessionRange), Vec<SessionId>>,
    pub(crate) pieces: Log<Piece>,
    /// Pieces that are not needed any more: those below the number.
    pub(crate) spent: Log<(MessageKey, u64)>,
    pub(crate) new_names: Log<NewName>,
    /// Threads whose labels were changed.
    pub(crate) labelled: Log<ThreadKey>,
    /// Threads of which names of earlier generations go; all names and sessions, of a deleted one.
    pub(crate) swept: Log<ThreadKey>,
    pub(crate) told: Log<Told>,
}

macro_rules! every_table {
    ($rows:ident, $call:ident) => {
        $rows.threads.$call();
        $rows.messages.$call();
        $rows.contents.$call();
        $rows.keys.$call();
        $rows.names.$call();
        $rows.ranges.$call();
        $rows.agents.$call();
        $rows.runtimes.$call();
        $rows.heads.$call();
        $rows.sessions.$call();
        $rows.attempts.$call();
        $rows.session_ranges.$call();
        $rows.pieces.$call();
        $rows.spent.$call();
        $rows.new_names.$call();
        $rows.labelled.$call();
        $rows.swept.$call();
        $rows.told.$call();
    };
}

impl Rows {
    /// The present operation was applied.
    pub(crate) fn keep(&mut self) {
        every_table!(self, keep);
    }

    /// The present operation was not applied.
    pub(crate) fn undo(&mut self) {
        every_table!(self, undo);
    }

    /// Reads everything that was looked for. A row that is damaged is an error of the statement's kind: nothing is decided on it.
    pub(crate) async fn read(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        thread::read(self, db).await?;
        message::read(self, db).await?;
        piece::read(self, db).await?;
        key::read(self, db).await?;
        name::read(self, db).await?;
        range::read(self, db).await?;
        session::read(self, db).await
    }

    /// Everything that is to be written but what is told.
    pub(crate) fn writing(&self) -> Writing {
        let mut writing = Writing::default();
        thread::write(self, &mut writing);
        message::write(self, &mut writing);
        piece::write(self, &mut writing);
        key::write(self, &mut writing);
        name::write(self, &mut writing);
        session::write(self, &mut writing);
        writing
    }

    /// The threads of which something goes beside the messages, as they are left.
    fn swept(&self) -> HashMap<&ThreadKey, &ThreadRow> {
        if self.swept.items().is_empty() {
            return HashMap::new();
        }
        let swept: HashSet<&ThreadKey> = self.swept.items().iter().collect();
        self.threads.known().filter(|(key, _)| swept.contains(key)).collect()
    }
}

/// A counter as a column holds it.
pub(crate) fn number(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// A counter from a column; nothing where it is none.
pub(crate) fn counter(column: i64) -> Option<u64> {
    u64::try_from(column).ok()
}
