//! Messages of a thread that are found by their places.
//!
//! What is read is as it was when the transaction began. So each range is read by as many rows longer as the transaction has
//! changed of the thread, and what it has changed is taken over what was read: see [`Rows::messages_of`].

use sqlx::{PgConnection, Row as _};
use throughline_core::{MessageId, Seq};

use super::{
    MessageRow, Rows, ThreadKey,
    message::{lacking, message_columns},
    number,
};

/// Which messages of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Range {
    /// The latest final ones of the user.
    Questions,
    /// The oldest.
    Oldest,
    /// The latest.
    Latest,
    /// The oldest of those that are open.
    Open,
    /// The oldest of those that went with all others, and stand there still.
    Purgeable,
}

/// A range of a thread, of so many messages above a place; of purgeable ones, up to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RangeKey {
    pub(crate) thread: ThreadKey,
    pub(crate) range: Range,
    pub(crate) floor: Seq,
    pub(crate) limit: u64,
}

macro_rules! range {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            " FROM throughline.messages m WHERE m.tenant = $1 AND m.thread = $2 AND ",
            $rest,
            " LIMIT $4"
        )
    };
}

impl Range {
    const fn statement(&self) -> &'static str {
        match self {
            Self::Questions => {
                range!("m.role = 'user' AND m.state = 'final' AND m.seq > $3 ORDER BY m.seq DESC")
            }
            Self::Oldest => range!("m.seq > $3 ORDER BY m.seq"),
            Self::Latest => range!("m.seq > $3 ORDER BY m.seq DESC"),
            Self::Open => range!("m.state IN ('reserved', 'streaming') AND m.seq > $3 ORDER BY m.seq"),
            Self::Purgeable => range!("m.seq <= $3 ORDER BY m.seq"),
        }
    }
}

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for key in rows.ranges.take_unread() {
        let (tenant, thread) = &key.thread;
        let found = sqlx::query(key.range.statement())
            .bind(tenant.as_str())
            .bind(thread.as_str())
            .bind(number(key.floor.get()))
            .bind(number(key.limit))
            .fetch_all(&mut *db)
            .await?;
        let mut ids = Vec::with_capacity(found.len());
        for row in &found {
            let id: &str = row.try_get("id")?;
            let broken = || lacking(thread.as_str(), id);
            let message = MessageRow::decode(row)?.ok_or_else(broken)?;
            let id = MessageId::new(id).map_err(|_| broken())?;
            rows.messages.read((key.thread.clone(), id.clone()), Some(message));
            ids.push(id);
        }
        rows.ranges.read(key, Some(ids));
    }
    Ok(())
}

impl Rows {
    /// How many messages of a thread the transaction has changed.
    pub(crate) fn changed_in(&self, thread: &ThreadKey) -> u64 {
        self.messages.changed().filter(|((of, _), _)| of == thread).count() as u64
    }

    /// Every message that is known of a thread and stands in it, as the transaction has left it, in order.
    pub(crate) fn messages_of(&self, thread: &ThreadKey) -> Vec<(MessageId, Seq, MessageRow)> {
        let of_thread = self.messages.known().filter(|((of, _), _)| of == thread);
        let mut found: Vec<_> =
            of_thread.filter_map(|((_, id), row)| Some((id.clone(), row.seq?, row.clone()))).collect();
        found.sort_by_key(|(_, seq, _)| *seq);
        found
    }
}
