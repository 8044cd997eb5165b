//! Reads one row as a row image, with the rows of other tables that belong to it.

use rusqlite::{Connection, OptionalExtension, Row};
use throughline_core::{
    AgentId, IdempotencyKey, MessageId, Position, Revision, Seq, TenantId, ThreadId, Timestamp,
    backend::{names::KnownName, sessions::AgentRecord},
    changes::QuarantinedChange,
    ids::{ConsumerName, RuntimeId},
    operations::Fingerprint,
    replication::{
        ConsumerImage, GoneImage, Image, ImagePart, KeyImage, MessageImage, NameImage, SessionImage,
        SessionPart, ThreadImage,
    },
    threads::Generation,
};
use throughline_engine::rows::MessageRow;

use crate::{
    read::rows::whole,
    record::{
        AliasRow, Columns as _, Cursor, EntryRow, HEAD_COLUMNS, Head, QuarantineRow, Record, alias_columns,
        cursor_columns, entry_columns, head_columns, message_columns, quarantine_columns, read_attempt,
        read_head, read_known, whole_checksum,
    },
    replica::Part,
    rows::key_checksum,
};

/// The result of reading a row.
pub(super) enum Found {
    Image(Box<Image>),
    /// Its checksum does not match.
    Damaged(Damaged),
    /// It no longer exists, and another entry of the dirty set or the feed covers that.
    Nothing,
}

/// The description of a damaged row.
pub(super) struct Damaged(pub(super) String);

/// The image of a row; `None` if it is damaged.
type Made = Option<Image>;

/// Reads the image of a row.
pub(super) fn image(db: &Connection, part: Part, row: i64) -> rusqlite::Result<Found> {
    let made = match part {
        Part::Threads => thread(db, row),
        Part::Messages => message(db, row),
        Part::Names => name(db, row),
        Part::Keys => key(db, row),
        Part::Agents => agent(db, row),
        Part::Runtimes => runtime(db, row),
        Part::Heads | Part::Known | Part::Attempts => session(db, part, row),
        Part::Consumers => consumer(db, row),
    };
    Ok(match made? {
        None => Found::Nothing,
        Some(Some(image)) => Found::Image(Box::new(image)),
        Some(None) => Found::Damaged(Damaged(format!("row {row} of `{}`", part.table().0))),
    })
}

/// Reads the row with a number.
fn one(
    db: &Connection,
    sql: &str,
    number: i64,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<Made>,
) -> rusqlite::Result<Option<Made>> {
    db.prepare_cached(sql)?.query_row([number], |row| read(row)).optional()
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a str> {
    str::from_utf8(row.text(column)?).ok()
}

/// Reads the tenant and the thread from two columns.
fn whose(row: &Row<'_>, column: usize) -> Option<(TenantId, ThreadId)> {
    Some((TenantId::new(text(row, column)?).ok()?, ThreadId::new(text(row, column + 1)?).ok()?))
}

fn count(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

fn thread(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str = concat!(
        "SELECT t.tenant, t.thread, ",
        head_columns!(),
        ", c.thread_pk, ",
        entry_columns!(),
        " FROM threads t LEFT JOIN catalog c ON c.thread_pk = t.thread_pk WHERE t.thread_pk = ?1"
    );
    const HAS_ENTRY: usize = 2 + HEAD_COLUMNS;
    let read = |row: &Row<'_>| -> Made {
        let (tenant, thread) = whose(row, 0)?;
        let (_, head) = Head::read(row, 2, tenant.as_str(), thread.as_str())?;
        let facts = if row.is_null(HAS_ENTRY) {
            None
        } else {
            Some(EntryRow::read(row, HAS_ENTRY + 1, tenant.as_str(), thread.as_str())?.facts)
        };
        let image = ThreadImage {
            thread,
            generation: head.generation(),
            deleted: head.deleted,
            floor: Seq::new(count(head.floor)?),
            gone_seq: Seq::new(count(head.deleted_seq)?),
            gone_at: Timestamp::from_micros(head.gone_at),
            gone_question: Seq::new(count(head.gone_question)?),
            purgeable: head.purgeable,
            facts,
        };
        Some(Image::new(tenant, ImagePart::Thread(Box::new(image))))
    };
    one(db, SQL, number, |row| Ok(read(row)))
}

fn message(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str = concat!(
        "SELECT 0, ",
        message_columns!(),
        ", t.tenant, t.thread, t.floor FROM messages m JOIN threads t ON t.thread_pk = m.thread_pk \
         WHERE m.message_pk = ?1"
    );
    const WHOSE: usize = 21;
    one(db, SQL, number, |row| {
        let read = || -> Option<(TenantId, Result<Record, GoneImage>)> {
            let (tenant, thread) = whose(row, WHOSE)?;
            let gone = |left| {
                let id = MessageId::new(text(row, 2)?).ok()?;
                let replaced = row.integer(19).and_then(|code| Some(MessageRow::from_tail_code(code)?.1));
                let revision = row.integer(6).and_then(count).map(Revision::new);
                let revision = revision.max(replaced).unwrap_or_default();
                Some(Err(GoneImage { thread: thread.clone(), id, revision, left }))
            };
            let floor = row.integer(WHOSE + 2)?;
            let read = match row.integer(3) {
                None => gone(None)?,
                Some(seq) if seq <= floor => {
                    let attachments = row.optional_str(16)?.map(serde_json::from_str).transpose().ok()?;
                    gone(Some((Seq::new(count(seq)?), attachments.unwrap_or_default())))?
                }
                Some(_) => Ok(Record::read(row, &tenant, &thread).ok()?),
            };
            Some((tenant, read))
        };
        let Some((tenant, read)) = read() else { return Ok(None) };
        let part = match read {
            Err(gone) => ImagePart::Gone(gone),
            Ok(record) => {
                let replaced = record.replaced;
                match whole(db, record)? {
                    Ok(message) => ImagePart::Message(Box::new(MessageImage { message, replaced })),
                    Err(_) => return Ok(None),
                }
            }
        };
        Ok(Some(Image::new(tenant, part)))
    })
}

fn name(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str = concat!(
        "SELECT ",
        alias_columns!(),
        ", a.thread_pk, t.tenant, t.thread FROM aliases a JOIN threads t ON t.thread_pk = a.thread_pk \
         WHERE a.alias_pk = ?1"
    );
    let read = |row: &Row<'_>| -> Made {
        let (tenant, thread) = whose(row, 9)?;
        let AliasRow { generation, seen, alias } = AliasRow::read(row, 0, row.integer(8)?)?;
        let known = KnownName { alias, seen: Seq::new(count(seen)?) };
        let image = NameImage { thread, generation: Generation::new(count(generation)?), known };
        Some(Image::new(tenant, ImagePart::Name(Box::new(image))))
    };
    one(db, SQL, number, |row| Ok(read(row)))
}

fn key(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str = "SELECT i.key, i.created_at, i.checksum, i.fingerprint, i.replay, t.tenant, t.thread \
        FROM idempotency i JOIN threads t ON t.thread_pk = i.thread_pk WHERE i.record_pk = ?1";
    let read = |row: &Row<'_>| -> Made {
        let (tenant, thread) = whose(row, 5)?;
        let key = text(row, 0)?;
        let fingerprint: [u8; 32] = row.text(3)?.try_into().ok()?;
        let replay = row.text(4)?;
        let at = row.integer(1)?;
        let sum = key_checksum((tenant.as_str(), thread.as_str(), key), at, &fingerprint, replay);
        if sum != row.integer(2)? {
            return None;
        }
        let image = KeyImage {
            thread,
            key: IdempotencyKey::new(key).ok()?,
            fingerprint: Fingerprint::from_bytes(fingerprint),
            replay: serde_json::from_slice(replay).ok()?,
            at: Timestamp::from_micros(at),
        };
        Some(Image::new(tenant, ImagePart::Key(Box::new(image))))
    };
    one(db, SQL, number, |row| Ok(read(row)))
}

fn agent(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str =
        "SELECT tenant, agent, incarnation, resets, checksum FROM session_agents WHERE agent_pk = ?1";
    let read = |row: &Row<'_>| -> Made {
        let (tenant, agent) = (TenantId::new(text(row, 0)?).ok()?, AgentId::new(text(row, 1)?).ok()?);
        let counts = [row.integer(2)?, row.integer(3)?];
        if whole_checksum(tenant.as_str(), agent.as_str(), counts) != row.integer(4)? {
            return None;
        }
        let record = AgentRecord { incarnation: count(counts[0])?, resets: count(counts[1])? };
        Some(Image::new(tenant, ImagePart::Agent { agent, record }))
    };
    one(db, SQL, number, |row| Ok(read(row)))
}

fn runtime(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str =
        "SELECT tenant, runtime, incarnation, checksum FROM session_runtimes WHERE runtime_pk = ?1";
    let read = |row: &Row<'_>| -> Made {
        let (tenant, runtime) = (TenantId::new(text(row, 0)?).ok()?, RuntimeId::new(text(row, 1)?).ok()?);
        let incarnation = row.integer(2)?;
        if whole_checksum(tenant.as_str(), runtime.as_str(), [incarnation, 0]) != row.integer(3)? {
            return None;
        }
        Some(Image::new(tenant, ImagePart::Runtime { runtime, incarnation: count(incarnation)? }))
    };
    one(db, SQL, number, |row| Ok(read(row)))
}

fn session(db: &Connection, part: Part, number: i64) -> rusqlite::Result<Option<Made>> {
    const HEAD: &str = "SELECT t.tenant, t.thread, h.agent, h.incarnation, h.head_pk, h.checksum, h.head \
        FROM session_heads h JOIN threads t ON t.thread_pk = h.thread_pk WHERE h.head_pk = ?1";
    const KNOWN: &str = "SELECT t.tenant, t.thread, h.agent, h.incarnation, h.head_pk, k.session, k.checksum, k.known \
        FROM session_known k JOIN session_heads h ON h.head_pk = k.head_pk \
        JOIN threads t ON t.thread_pk = h.thread_pk WHERE k.known_pk = ?1";
    const ATTEMPT: &str = "SELECT t.tenant, t.thread, h.agent, h.incarnation, h.head_pk, a.number, a.attempt, \
        a.checksum, a.record FROM session_attempts a JOIN session_heads h ON h.head_pk = a.head_pk \
        JOIN threads t ON t.thread_pk = h.thread_pk WHERE a.attempt_pk = ?1";
    let sql = match part {
        Part::Heads => HEAD,
        Part::Known => KNOWN,
        _ => ATTEMPT,
    };
    let read = |row: &Row<'_>| -> Made {
        let (tenant, thread) = whose(row, 0)?;
        let (agent, incarnation, head_pk) =
            (AgentId::new(text(row, 2)?).ok()?, row.integer(3)?, row.integer(4)?);
        let part = match part {
            Part::Heads => {
                let head = read_head(row, 5, tenant.as_str(), thread.as_str(), agent.as_str(), incarnation)?;
                SessionPart::Head(Box::new(head))
            }
            Part::Known => SessionPart::Known(Box::new(read_known(row, 5, head_pk)?)),
            _ => SessionPart::Attempt(Box::new(read_attempt(row, 5, head_pk)?)),
        };
        let image = SessionImage { thread, agent, incarnation: count(incarnation)?, part };
        Some(Image::new(tenant, ImagePart::Session(Box::new(image))))
    };
    one(db, sql, number, |row| Ok(read(row)))
}

fn consumer(db: &Connection, number: i64) -> rusqlite::Result<Option<Made>> {
    const SQL: &str = concat!(
        "SELECT ",
        cursor_columns!(),
        ", k.tenant, k.consumer FROM consumers k WHERE k.consumer_pk = ?1"
    );
    const PASSED: &str = concat!(
        "SELECT ",
        quarantine_columns!(),
        " FROM quarantine q WHERE q.consumer_pk = ?1 ORDER BY q.position"
    );
    one(db, SQL, number, |row| {
        let read = || {
            let tenant = TenantId::new(text(row, 3)?).ok()?;
            let consumer = ConsumerName::new(text(row, 4)?).ok()?;
            let cursor = Cursor::read(row, 0, tenant.as_str(), consumer.as_str())?;
            Some((tenant, consumer, Position::new(count(cursor.position)?)))
        };
        let Some((tenant, consumer, position)) = read() else { return Ok(None) };
        let mut quarantined = Vec::new();
        let mut statement = db.prepare_cached(PASSED)?;
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            let change = QuarantineRow::read(row, 0, number).and_then(|passed| {
                Some(QuarantinedChange {
                    position: Position::new(count(passed.position)?),
                    thread: ThreadId::new(passed.thread).ok()?,
                    at: Timestamp::from_micros(passed.at),
                    why: passed.why.to_owned(),
                })
            });
            let Some(change) = change else { return Ok(None) };
            quarantined.push(change);
        }
        let image = ConsumerImage { consumer, position, quarantined };
        Ok(Some(Image::new(tenant, ImagePart::Consumer(image))))
    })
}
