//! Row images, each with the dependent rows of other tables; one statement for each table.

mod message;
mod session;

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    IdempotencyKey, Position, Seq, TenantId, ThreadId, Timestamp,
    backend::names::KnownName,
    changes::QuarantinedChange,
    ids::ConsumerName,
    operations::Fingerprint,
    replication::{ConsumerImage, Image, ImagePart, KeyImage, NameImage, ThreadImage},
    threads::Generation,
};

use super::{Key, Part};
use crate::rows::{alias_columns, alias_of, counter, decode_thread, thread_columns};

/// The result of reading a row.
pub(super) enum ReadImage {
    Image(Box<Image>),
    /// The row cannot be decoded.
    Damaged,
}

impl ReadImage {
    fn of(image: Option<(TenantId, ImagePart)>) -> Self {
        image.map_or(Self::Damaged, |(tenant, part)| Self::Image(Box::new(Image::new(tenant, part))))
    }
}

/// The images of the rows that exist.
type Found = HashMap<Key, ReadImage>;

/// Reads the images of rows.
pub(super) async fn image(db: &mut PgConnection, keys: &[Key]) -> sqlx::Result<Found> {
    let mut found = Found::with_capacity(keys.len());
    for part in Part::ALL {
        let keys: Vec<&Key> = keys.iter().filter(|key| key.part == part).collect();
        if keys.is_empty() {
            continue;
        }
        match part {
            Part::Threads => threads(db, &keys, &mut found).await?,
            Part::Messages => message::messages(db, &keys, &mut found).await?,
            Part::Names => names(db, &keys, &mut found).await?,
            Part::Keys => used(db, &keys, &mut found).await?,
            Part::Agents | Part::Runtimes => session::whole(db, part, &keys, &mut found).await?,
            Part::Heads | Part::Known | Part::Attempts => {
                session::in_threads(db, part, &keys, &mut found).await?;
            }
            Part::Consumers => consumers(db, &keys, &mut found).await?,
        }
    }
    Ok(found)
}

/// Returns one part of each key.
fn column<'k>(keys: &[&'k Key], at: usize) -> Vec<&'k str> {
    keys.iter().map(|key| key.at(at)).collect()
}

fn numbers(keys: &[&Key], at: usize) -> Vec<i64> {
    keys.iter().map(|key| key.number(at)).collect()
}

/// Returns the key that a row belongs to.
fn which<'k>(keys: &[&'k Key], row: &PgRow) -> sqlx::Result<Option<&'k Key>> {
    let at = usize::try_from(row.try_get::<i64, _>("i")? - 1).ok();
    Ok(at.and_then(|at| keys.get(at).copied()))
}

/// Returns the tenant and the thread of a key.
fn whose(key: &Key) -> Option<(TenantId, ThreadId)> {
    Some((TenantId::new(key.at(0)).ok()?, ThreadId::new(key.at(1)).ok()?))
}

const THREADS: &str = concat!(
    "SELECT k.i, EXISTS (SELECT 1 FROM throughline.messages m WHERE m.tenant = t.tenant AND m.thread = t.thread \
     AND m.seq = t.last_seq AND m.seq > t.floor) AS has_last, ",
    thread_columns!(),
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, thread, i) \
     JOIN throughline.threads t ON t.tenant = k.tenant AND t.thread = k.thread"
);

async fn threads(db: &mut PgConnection, keys: &[&Key], found: &mut Found) -> sqlx::Result<()> {
    let rows = sqlx::query(THREADS).bind(column(keys, 0)).bind(column(keys, 1)).fetch_all(db).await?;
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let (state, has_last): (_, bool) = (decode_thread(row)?, row.try_get("has_last")?);
        let made = || {
            let (tenant, thread) = whose(key)?;
            let state = state.filter(|state| state.deleted || state.summary.is_some())?;
            let image = ThreadImage {
                thread,
                generation: state.generation,
                deleted: state.deleted,
                floor: state.floor,
                gone_seq: if has_last { Seq::ZERO } else { state.last_seq },
                gone_at: state.removed_at,
                gone_question: state.removed_question.unwrap_or(Seq::ZERO),
                purgeable: state.purgeable,
                facts: state.summary,
            };
            Some((tenant, ImagePart::Thread(Box::new(image))))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

const NAMES: &str = concat!(
    "SELECT k.i, a.generation, ",
    alias_columns!(),
    " FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS k (tenant, thread, n, i) \
     JOIN throughline.aliases a ON a.tenant = k.tenant AND a.thread = k.thread AND a.n = k.n"
);

async fn names(db: &mut PgConnection, keys: &[&Key], found: &mut Found) -> sqlx::Result<()> {
    let rows = sqlx::query(NAMES)
        .bind(column(keys, 0))
        .bind(column(keys, 1))
        .bind(numbers(keys, 2))
        .fetch_all(db)
        .await?;
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let (alias, generation, seen) =
            (alias_of(row)?, counter(row.try_get("generation")?), counter(row.try_get("seen")?));
        let made = || {
            let (tenant, thread) = whose(key)?;
            let known = KnownName { alias: alias?, seen: Seq::new(seen?) };
            let image = NameImage { thread, generation: Generation::new(generation?), known };
            Some((tenant, ImagePart::Name(Box::new(image))))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

const USED: &str = "SELECT k.i, i.created_at, i.fingerprint, i.replay \
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant, thread, key, i) \
    JOIN throughline.keys i ON i.tenant = k.tenant AND i.thread = k.thread AND i.key = k.key";

async fn used(db: &mut PgConnection, keys: &[&Key], found: &mut Found) -> sqlx::Result<()> {
    let rows = sqlx::query(USED)
        .bind(column(keys, 0))
        .bind(column(keys, 1))
        .bind(column(keys, 2))
        .fetch_all(db)
        .await?;
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let (fingerprint, replay): (&[u8], &str) = (row.try_get("fingerprint")?, row.try_get("replay")?);
        let at = Timestamp::from_micros(row.try_get("created_at")?);
        let made = || {
            let (tenant, thread) = whose(key)?;
            let image = KeyImage {
                thread,
                key: IdempotencyKey::new(key.at(2)).ok()?,
                fingerprint: Fingerprint::from_bytes(fingerprint.try_into().ok()?),
                replay: serde_json::from_str(replay).ok()?,
                at,
            };
            Some((tenant, ImagePart::Key(Box::new(image))))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

const CURSORS: &str = "SELECT k.i, c.position AS cursor, q.position, q.at, q.thread, q.why \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, consumer, i) \
    JOIN throughline.consumers c ON c.tenant = k.tenant AND c.consumer = k.consumer \
    LEFT JOIN throughline.quarantine q ON q.tenant = c.tenant AND q.consumer = c.consumer ORDER BY k.i, q.position";

async fn consumers(db: &mut PgConnection, keys: &[&Key], found: &mut Found) -> sqlx::Result<()> {
    let rows = sqlx::query(CURSORS).bind(column(keys, 0)).bind(column(keys, 1)).fetch_all(db).await?;
    // Each consumer with its quarantined changes, or `None` if one of them is damaged.
    let mut kept: HashMap<&Key, (Option<u64>, Option<Vec<QuarantinedChange>>)> = HashMap::new();
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let cursor = counter(row.try_get("cursor")?);
        let (_, passed) = kept.entry(key).or_insert_with(|| (cursor, Some(Vec::new())));
        if row.try_get::<Option<i64>, _>("position")?.is_none() {
            continue;
        }
        match (skipped(row)?, &mut *passed) {
            (Some(change), Some(passed)) => passed.push(change),
            _ => *passed = None,
        }
    }
    for (key, (cursor, quarantined)) in kept {
        let made = || {
            let image = ConsumerImage {
                consumer: ConsumerName::new(key.at(1)).ok()?,
                position: Position::new(cursor?),
                quarantined: quarantined?,
            };
            Some((TenantId::new(key.at(0)).ok()?, ImagePart::Consumer(image)))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

fn skipped(row: &PgRow) -> sqlx::Result<Option<QuarantinedChange>> {
    let position = counter(row.try_get("position")?);
    let (thread, why): (&str, &[u8]) = (row.try_get("thread")?, row.try_get("why")?);
    let at = Timestamp::from_micros(row.try_get("at")?);
    let change = || {
        Some(QuarantinedChange {
            position: Position::new(position?),
            thread: ThreadId::new(thread).ok()?,
            at,
            why: String::from_utf8(why.to_vec()).ok()?,
        })
    };
    Ok(change())
}
