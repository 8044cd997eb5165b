//! Row images of messages, with the chunks of open ones, and of tombstones.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use throughline_core::{
    Content, MessageId, Seq,
    replication::{GoneImage, ImagePart, MessageImage},
};
use throughline_engine::rows::{ContentBuilder, MessageRow};

use super::{Found, Key, ReadImage, column, which, whose};
use crate::rows::{counter, decode_message, message_columns, number, push_stored};

const MESSAGES: &str = concat!(
    "SELECT k.i, t.floor, ",
    message_columns!(),
    ", m.content FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant, thread, id, i) \
     JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id \
     JOIN throughline.threads t ON t.tenant = m.tenant AND t.thread = m.thread"
);

const CHUNKS: &str = "SELECT k.i, p.kind, p.delta \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS k (tenant, thread, id, first, i) \
    JOIN throughline.chunks p ON p.tenant = k.tenant AND p.thread = k.thread AND p.id = k.id AND p.n >= k.first \
    ORDER BY k.i, p.n";

/// The row of a message and the content that was read so far.
struct Stored {
    row: MessageRow,
    floor: Seq,
    /// The content so far; `None` if it is damaged.
    growth: Option<ContentBuilder>,
    /// How many chunks are still missing.
    due: u64,
}

pub(super) async fn messages(db: &mut PgConnection, keys: &[&Key], found: &mut Found) -> sqlx::Result<()> {
    let rows = sqlx::query(MESSAGES)
        .bind(column(keys, 0))
        .bind(column(keys, 1))
        .bind(column(keys, 2))
        .fetch_all(&mut *db)
        .await?;
    let mut stored: HashMap<&Key, Stored> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let floor = counter(row.try_get("floor")?);
        let content: Option<&str> = row.try_get("content")?;
        let (Some(decoded), Some(floor)) = (decode_message(row)?, floor) else {
            found.insert(key.clone(), ReadImage::Damaged);
            continue;
        };
        let growth = content.and_then(|json| Content::from_json(json).ok()).map(ContentBuilder::new);
        let is_written = decoded.state.is_open() && decoded.chunks > 0;
        let due = if is_written { (decoded.chunks + 1).saturating_sub(decoded.first_chunk) } else { 0 };
        stored.insert(key, Stored { row: decoded, floor: Seq::new(floor), growth, due });
    }
    complete(db, &mut stored).await?;
    for (key, stored) in stored {
        found.insert(key.clone(), ReadImage::of(made(key, stored)));
    }
    Ok(())
}

/// Adds the chunks of open messages.
async fn complete(db: &mut PgConnection, stored: &mut HashMap<&Key, Stored>) -> sqlx::Result<()> {
    let open: Vec<(&Key, i64)> = stored
        .iter()
        .filter(|(_, stored)| stored.due > 0)
        .map(|(key, stored)| (*key, number(stored.row.first_chunk)))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let keys: Vec<&Key> = open.iter().map(|(key, _)| *key).collect();
    let rows = sqlx::query(CHUNKS)
        .bind(column(&keys, 0))
        .bind(column(&keys, 1))
        .bind(column(&keys, 2))
        .bind(open.iter().map(|(_, first)| *first).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    for row in &rows {
        let Some(stored) = which(&keys, row)?.and_then(|key| stored.get_mut(key)) else { continue };
        let delta: &[u8] = row.try_get("delta")?;
        let taken =
            stored.growth.as_mut().and_then(|growth| push_stored(growth, row.try_get("kind").ok()?, delta));
        match (taken, stored.due.checked_sub(1)) {
            (Some(()), Some(left)) => stored.due = left,
            _ => stored.growth = None,
        }
    }
    Ok(())
}

fn made(key: &Key, stored: Stored) -> Option<(throughline_core::TenantId, ImagePart)> {
    let Stored { row, floor, growth, due } = stored;
    let (tenant, thread) = whose(key)?;
    let id = MessageId::new(key.at(2)).ok()?;
    let revision = row.revision.max(row.replaced);
    let part = match row.seq {
        None => ImagePart::Gone(GoneImage { thread, id, revision, left: None }),
        Some(seq) if seq <= floor => {
            ImagePart::Gone(GoneImage { thread, id, revision, left: Some((seq, row.attachments)) })
        }
        // A missing chunk means damage.
        Some(_) if due > 0 => return None,
        Some(_) => {
            let message = row.message(&tenant, &thread, &id, growth?.content());
            ImagePart::Message(Box::new(MessageImage { message, replaced: row.replaced }))
        }
    };
    Some((tenant, part))
}
