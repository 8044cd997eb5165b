//! Reads of whole messages.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Content, Message, MessageId, Result, Seq, TenantId, ThreadId,
    messages::{DamagedMessage, GetMessage},
};
use throughline_engine::{
    read::FindCriterion,
    rows::{ContentBuilder, MessageRow},
};

use super::{Answer, Scope};
use crate::rows::{counter, decode_message, message_columns, number, push_stored};

const GET: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.content FROM throughline.threads t JOIN throughline.messages m ON m.tenant = t.tenant AND m.thread = t.thread \
     WHERE t.tenant = $1 AND t.thread = $2 AND NOT t.deleted AND m.id = $3 AND m.seq > t.floor"
);

const CHUNKS: &str = "SELECT p.thread, p.id, p.kind, p.delta \
    FROM unnest($2::text[], $3::text[], $4::bigint[]) AS k (thread, id, first) \
    JOIN throughline.chunks p ON p.tenant = $1 AND p.thread = k.thread AND p.id = k.id AND p.n >= k.first \
    ORDER BY p.thread, p.id, p.n";

/// Returns a settled message, or that there is none. Returns `None` if the message is open and its chunks must be
/// read too.
pub(super) async fn get_settled(
    db: &mut PgConnection,
    tenant: &TenantId,
    get: &GetMessage,
) -> Answer<Option<Option<Message>>> {
    let Some(row) = find(db, tenant, get).await? else { return Ok(Some(None)) };
    match Stored::read(&row)? {
        Stored { row: Some(found), .. } if found.state.is_open() && found.chunks > 0 => Ok(None),
        stored => Ok(Some(Some(stored.whole(tenant, None).map_err(|damaged| damaged.to_error())?))),
    }
}

/// Returns the row of a message above the floor.
pub(super) async fn find(
    db: &mut PgConnection,
    tenant: &TenantId,
    get: &GetMessage,
) -> sqlx::Result<Option<PgRow>> {
    sqlx::query(GET)
        .bind(tenant.as_str())
        .bind(get.thread.as_str())
        .bind(get.id.as_str())
        .fetch_optional(db)
        .await
}

/// A row of a message, decoded as far as possible.
pub(super) struct Stored {
    pub(super) thread: ThreadId,
    pub(super) seq: Option<Seq>,
    id: Option<MessageId>,
    row: Option<MessageRow>,
    content: Option<String>,
}

impl Stored {
    /// Decodes [`message_columns!`] and the content.
    pub(super) fn read(row: &PgRow) -> sqlx::Result<Self> {
        let thread: &str = row.try_get("thread")?;
        let id: &str = row.try_get("id")?;
        let seq: Option<i64> = row.try_get("seq")?;
        Ok(Self {
            thread: ThreadId::new(thread)
                .map_err(|_| crate::error::damaged("the id of a stored thread".to_owned()))?,
            seq: seq.and_then(counter).map(Seq::new),
            id: MessageId::new(id).ok(),
            row: decode_message(row)?,
            content: row.try_get("content")?,
        })
    }

    /// Returns the row and the content of the row; of an open message, without its chunks.
    pub(super) fn into_row(self) -> Result<(MessageRow, Content), DamagedMessage> {
        let Self { thread, seq, id, row, content } = self;
        let read = row.zip(content.and_then(|json| Content::from_json(json).ok()));
        read.ok_or(DamagedMessage { thread, seq, id })
    }

    /// Whether a find shows the message. One that cannot be decoded counts as shown, so that it is reported.
    pub(super) fn matches(&self, criterion: &FindCriterion<'_>, floor: Seq) -> bool {
        let Some(row) = &self.row else { return true };
        row.seq.is_some_and(|seq| criterion.matches(floor, seq, row.state, &row.metadata))
    }

    fn is_open(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.state.is_open() && row.chunks > 0)
    }

    /// Returns the message with its chunks, if it has any.
    pub(super) fn whole(self, tenant: &TenantId, chunks: Option<&Chunks>) -> Result<Message, DamagedMessage> {
        let Self { thread, seq, id, row, content } = self;
        let message = || {
            let (id, row) = (id.as_ref()?, row.as_ref()?);
            let mut builder = ContentBuilder::new(Content::from_json(content?).ok()?);
            if row.state.is_open() && row.chunks > 0 {
                let chunks = chunks?.0.get(&(thread.clone(), id.clone()))?;
                if chunks.len() as u64 != row.chunks - row.first_chunk + 1 {
                    return None;
                }
                for (kind, delta) in chunks {
                    push_stored(&mut builder, *kind, delta)?;
                }
            }
            Some(row.message(tenant, &thread, id, builder.content()))
        };
        message().ok_or_else(|| DamagedMessage { thread: thread.clone(), seq, id: id.clone() })
    }
}

/// A chunk as stored: its kind and its bytes.
type Chunk = (i64, Vec<u8>);

/// The chunks of open messages.
pub(super) struct Chunks(HashMap<(ThreadId, MessageId), Vec<Chunk>>);

impl Scope<'_> {
    pub(super) async fn get(&mut self, get: &GetMessage) -> Answer<Option<Message>> {
        let Some(row) = find(self.db, self.tenant, get).await? else { return Ok(None) };
        let mut found = self.whole(vec![Stored::read(&row)?]).await?;
        match found.pop() {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(damaged)) => Err(damaged.to_error().into()),
            None => Ok(None),
        }
    }

    /// Completes the found rows with their chunks.
    pub(super) async fn whole(&mut self, found: Vec<Stored>) -> Answer<Vec<Result<Message, DamagedMessage>>> {
        let (mut threads, mut ids, mut firsts) = (vec![], vec![], vec![]);
        for stored in found.iter().filter(|stored| stored.is_open()) {
            if let (Some(id), Some(row)) = (&stored.id, &stored.row) {
                threads.push(stored.thread.as_str());
                ids.push(id.as_str());
                firsts.push(number(row.first_chunk));
            }
        }
        let mut chunks = Chunks(HashMap::new());
        if !threads.is_empty() {
            let rows = sqlx::query(CHUNKS)
                .bind(self.tenant.as_str())
                .bind(threads)
                .bind(ids)
                .bind(firsts)
                .fetch_all(&mut *self.db)
                .await?;
            for row in &rows {
                let (thread, id): (&str, &str) = (row.try_get("thread")?, row.try_get("id")?);
                if let (Ok(thread), Ok(id)) = (ThreadId::new(thread), MessageId::new(id)) {
                    let chunk = (row.try_get("kind")?, row.try_get("delta")?);
                    chunks.0.entry((thread, id)).or_default().push(chunk);
                }
            }
        }
        let tenant = self.tenant;
        Ok(found.into_iter().map(|stored| stored.whole(tenant, Some(&chunks))).collect())
    }
}

/// Separates the messages from the damaged rows.
pub(super) fn apart(rows: Vec<Result<Message, DamagedMessage>>) -> (Vec<Message>, Vec<DamagedMessage>) {
    let (mut messages, mut damaged) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row {
            Ok(message) => messages.push(message),
            Err(row) => damaged.push(row),
        }
    }
    (messages, damaged)
}
