//! The rows of messages: encoding, decoding and checksums.
//!
//! SQLite does not detect a bit that flipped on the disk. Every row has a checksum over its identity and all of its
//! values. So a read of a damaged row fails as `Corrupt`, with its name, and never returns wrong content.

mod alias;
mod append;
mod audit;
mod change;
mod checksum;
mod columns;
mod consumer;
mod entry;
mod head;
mod segment;
mod session;

use std::{borrow::Cow, time::Duration};

use rusqlite::Row;
use throughline_core::{
    Content, Lease, Message, MessageId, MessageState, PersistError, Revision, Role, Seq, TenantId, ThreadId,
    Timestamp, backend::Length, messages::DamagedMessage,
};
use throughline_engine::rows::{MessageKey, MessageRow};

use crate::blob::StoredContent;

pub(crate) use self::{
    alias::{AliasRow, alias_columns},
    append::{Append, Growth, StoredChunk, append_chain},
    audit::{AuditRow, audit_columns, insert_audit},
    change::{CHANGE_COLUMNS, ChangeRow, change_columns, unreadable},
    checksum::{Checksum, Hashed, checksum_of},
    columns::Columns,
    consumer::{Cursor, QuarantineRow, cursor_columns, quarantine_columns},
    entry::{ENTRY_COLUMNS, EntryRow, Listed, entry_columns},
    head::{HEAD_COLUMNS, Head, head_columns},
    segment::{ThreadSegment, by_seq, messages_behind},
    session::{
        KnownColumns, SessionOwner, read_attempt, read_head, read_known, session_json, whole_checksum,
    },
};

/// The columns of a message, as `m`, in the order in which [`Record::read`] expects them, after one for the kind of the
/// row.
macro_rules! message_columns {
    () => {
        "m.message_pk, m.message_id, m.seq, m.role, m.state, m.revision, m.appends, m.content_bytes, m.lease_ms, \
         m.lease_expires_at, m.created_at, m.updated_at, m.position, m.checksum, m.metadata, m.attachments, \
         m.abandon_reason, m.content, m.tail, m.last_append"
    };
}
pub(crate) use message_columns;

/// The state of a tombstone, which is no state of a message.
pub(crate) const DELETED: &str = "deleted";

/// A message and the related columns.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) message_pk: i64,
    /// The message without its content.
    pub(crate) message: Message,
    /// The content of a settled message. While it is open this is `[]`, and its text is in the appends.
    pub(crate) content: StoredContent,
    /// The number of appends.
    pub(crate) appends: i64,
    /// The key of the last of them. The checksum of the row covers it. The chunks have checksums and a count of their
    /// own, so a wrong key could not lead to other text, but any changed value in a row is damage.
    pub(crate) last_append: Option<i64>,
    /// The length of the content; for an open message the sum of its appends.
    pub(crate) length: Length,
    /// The revision that last replaced the content.
    pub(crate) replaced: Revision,
    /// The position of its last change.
    pub(crate) position: i64,
}

impl Record {
    /// Reads the columns of [`message_columns!`], with verification.
    pub(crate) fn read(row: &Row<'_>, tenant: &TenantId, thread: &ThreadId) -> Result<Self, Damage> {
        let id = row.text(2).and_then(|text| MessageId::new(str::from_utf8(text).ok()?).ok());
        let seq = row.integer(3);
        Self::check_and_read(row, tenant, thread, id.as_ref()).ok_or(Damage { id, seq })
    }

    fn check_and_read(
        row: &Row<'_>,
        tenant: &TenantId,
        thread: &ThreadId,
        id: Option<&MessageId>,
    ) -> Option<Self> {
        let lease = match (row.integer(9), row.integer(10)) {
            (Some(ms), Some(expires_at)) => Some((ms, expires_at)),
            (None, None) => None,
            _ => return None,
        };
        let fields = Fields {
            tenant: tenant.as_str(),
            thread: thread.as_str(),
            id: id?.as_str(),
            seq: row.integer(3)?,
            role: str::from_utf8(row.text(4)?).ok()?,
            state: str::from_utf8(row.text(5)?).ok()?,
            revision: row.integer(6)?,
            appends: row.integer(7)?,
            last_append: row.integer(20),
            content_bytes: row.integer(8)?,
            tail: row.integer(19)?,
            lease,
            created_at: row.integer(11)?,
            updated_at: row.integer(12)?,
            position: row.integer(13)?,
            metadata: str::from_utf8(row.text(15)?).ok()?,
            attachments: row.optional_str(16)?,
            reason: row.optional_str(17)?,
            content: str::from_utf8(row.text(18)?).ok()?,
        };
        if row.integer(14)? != fields.checksum() {
            return None;
        }
        let (tail, replaced) = MessageRow::from_tail_code(fields.tail)?;
        Some(Self {
            message_pk: row.integer(1)?,
            content: StoredContent::parse(fields.content)?,
            message: Message {
                tenant: tenant.clone(),
                thread: thread.clone(),
                id: id?.clone(),
                seq: Seq::new(u64::try_from(fields.seq).ok()?),
                role: Role::from_name(fields.role)?,
                state: MessageState::from_name(fields.state)?,
                revision: Revision::new(u64::try_from(fields.revision).ok()?),
                content: Content::empty(),
                metadata: serde_json::from_str(fields.metadata).ok()?,
                attachments: fields
                    .attachments
                    .map(serde_json::from_str)
                    .transpose()
                    .ok()?
                    .unwrap_or_default(),
                abandon_reason: fields.reason.map(str::to_owned),
                lease: match lease {
                    Some((ms, expires_at)) => Some(Lease {
                        duration: Duration::from_millis(u64::try_from(ms).ok()?),
                        expires_at: Timestamp::from_micros(expires_at),
                    }),
                    None => None,
                },
                created_at: Timestamp::from_micros(fields.created_at),
                updated_at: Timestamp::from_micros(fields.updated_at),
            },
            appends: fields.appends,
            last_append: fields.last_append,
            length: Length { bytes: u64::try_from(fields.content_bytes).ok()?, tail },
            replaced,
            position: fields.position,
        })
    }
}

const IN_MEMORY: &str = "raw values and names serialize into memory";

/// A message as the columns hold it.
#[derive(Debug)]
pub(crate) struct Encoded<'a> {
    pub(crate) row: &'a MessageRow,
    /// The text of the column.
    pub(crate) content: &'a str,
    pub(crate) appends: i64,
    pub(crate) last_append: Option<i64>,
    pub(crate) position: i64,
    pub(crate) metadata: Cow<'static, str>,
    pub(crate) attachments: Option<String>,
    pub(crate) lease: Option<(i64, i64)>,
    pub(crate) checksum: i64,
}

impl<'a> Encoded<'a> {
    /// Encodes a message above the floor. `content` is the text of its column, `[]` while it is open.
    pub(crate) fn new(
        key: &MessageKey,
        row: &'a MessageRow,
        content: &'a str,
        (appends, last_append): (i64, Option<i64>),
        position: i64,
    ) -> Self {
        let metadata = if row.metadata.is_empty() {
            Cow::Borrowed("{}")
        } else {
            Cow::Owned(serde_json::to_string(&row.metadata).expect(IN_MEMORY))
        };
        let attachments =
            (!row.attachments.is_empty()).then(|| serde_json::to_string(&row.attachments).expect(IN_MEMORY));
        let lease = row.lease.map(|lease| {
            let ms = i64::try_from(lease.duration.as_millis()).unwrap_or(i64::MAX);
            (ms, lease.expires_at.as_micros())
        });
        let fields = Fields {
            tenant: key.thread.tenant.as_str(),
            thread: key.thread.thread.as_str(),
            id: key.id.as_str(),
            seq: row.seq.map_or(0, |seq| number(seq.get())),
            role: row.role.as_str(),
            state: row.state.as_str(),
            revision: number(row.revision.get()),
            appends,
            last_append,
            content_bytes: number(row.length.bytes),
            tail: row.tail_code(),
            lease,
            created_at: row.created_at.as_micros(),
            updated_at: row.updated_at.as_micros(),
            position,
            metadata: &metadata,
            attachments: attachments.as_deref(),
            reason: row.abandon_reason.as_deref(),
            content,
        };
        let checksum = fields.checksum();
        Self { row, content, appends, last_append, position, metadata, attachments, lease, checksum }
    }
}

/// Converts a counter for a column. The counters of the store begin with 1 and stay far below the limit.
pub(crate) fn number(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// Everything that the checksum of a row covers.
#[derive(Debug, Clone, Copy)]
struct Fields<'a> {
    tenant: &'a str,
    thread: &'a str,
    id: &'a str,
    seq: i64,
    role: &'a str,
    state: &'a str,
    revision: i64,
    appends: i64,
    last_append: Option<i64>,
    content_bytes: i64,
    tail: i64,
    lease: Option<(i64, i64)>,
    created_at: i64,
    updated_at: i64,
    position: i64,
    metadata: &'a str,
    attachments: Option<&'a str>,
    reason: Option<&'a str>,
    content: &'a str,
}

impl Fields<'_> {
    fn checksum(&self) -> i64 {
        checksum_of!(; Self {
            tenant, thread, id, seq, role, state, revision, appends, last_append, content_bytes, tail, lease, created_at,
            updated_at, position, metadata, attachments, reason, content
        } = *self)
    }
}

/// Returns the checksum of a tombstone. It covers its tenant, its thread and its id, the last revision of the message, and the
/// position of the deletion. All other columns are the same in every tombstone.
pub(crate) fn tombstone_checksum(owner: &[&str; 3], revision: i64, position: i64) -> i64 {
    let owner = owner.iter().fold(Checksum::new(), |sum, name| sum.text(name));
    owner.text(DELETED).integer(revision).integer(position).finish()
}

/// A damaged row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The id of its message, if that can be read.
    pub(crate) id: Option<MessageId>,
    /// Its sequence number, if that can be read.
    pub(crate) seq: Option<i64>,
}

impl Damage {
    /// The damage of a message with a readable row, whose content is damaged.
    pub(crate) fn of_message(message: &Message) -> Self {
        Self { id: Some(message.id.clone()), seq: Some(number(message.seq.get())) }
    }

    /// Returns the damage as lists report it.
    pub(crate) fn of(self, thread: &ThreadId) -> DamagedMessage {
        let seq = self.seq.and_then(|seq| u64::try_from(seq).ok()).map(Seq::new);
        DamagedMessage { thread: thread.clone(), seq, id: self.id }
    }

    pub(crate) fn into_error(self, thread: &ThreadId) -> PersistError {
        self.of(thread).to_error()
    }
}
