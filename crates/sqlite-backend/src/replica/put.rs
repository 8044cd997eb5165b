//! Writes the row images of another store over the existing rows, through the engine. It writes change events and audit
//! records directly.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{
    TenantId,
    changes::ChangeKind,
    ids::{EventId, ItemId, TurnId},
    messages::Alias,
    replication::{Image, ImagePart, NameImage},
};
use throughline_engine::{Limits, Transaction, rows::ThreadKey};

use crate::{
    blob::BlobWriter,
    failure::Applied,
    record::{AuditRow, ChangeRow, number},
    rows::{Positions, Source, ThreadCache, flush},
    search,
};

/// Writes images over the existing rows. `positions` holds the number of positions in a segment of the order, and the
/// position of the store.
pub(super) fn put(
    db: &Connection,
    (threads, blobs): (&mut ThreadCache, Option<&mut BlobWriter>),
    (segment_positions, position): (i64, i64),
    images: &[Image],
) -> Applied<()> {
    let indexed = threads.metadata_names(db)?.indexed.clone();
    let mut source = Source::for_images(db, threads);
    source.blobs = blobs;
    let mut transaction = Transaction::new(source, Limits::default()).with_indexed_metadata(indexed);
    let mut positions = Positions::new(position, segment_positions).with_known_ids(true);
    let mut has_lost_messages = Vec::new();
    let mut aliases = HashSet::new();
    for image in images {
        let is_new = match &image.part {
            ImagePart::Name(name) => {
                is_missing(db, &image.tenant, name)? && aliases.insert((&image.tenant, json(name)))
            }
            ImagePart::Thread(thread) => {
                let key = ThreadKey::new(&image.tenant, &thread.thread);
                positions.raise_removed(key, number(thread.gone_seq.get()));
                false
            }
            _ => false,
        };
        if transaction.put_image(image, is_new)?
            && let ImagePart::Thread(thread) = &image.part
        {
            has_lost_messages.push(ThreadKey::new(&image.tenant, &thread.thread));
        }
    }
    let (mut source, staged) = transaction.into_parts();
    flush(&mut source, &staged, &positions)?;
    for image in images {
        put_auxiliary(&mut source, db, image)?;
    }
    for (key, _) in staged.messages.changed() {
        if let Some(message_pk) = source.message_pk(key) {
            search::put_message(db, message_pk)?;
        }
    }
    for key in &has_lost_messages {
        search::put_thread(db, source.thread_pk(key)?)?;
    }
    Ok(())
}

fn json(name: &NameImage) -> String {
    serde_json::to_string(name).expect("names serialize into memory")
}

/// Writes the images that the engine does not decide: a change event, or an audit record.
fn put_auxiliary(source: &mut Source<'_>, db: &Connection, image: &Image) -> Applied<()> {
    match &image.part {
        // The other store reports the changes that it could not read.
        ImagePart::Change(change) if !matches!(change.kind, ChangeKind::Unreadable { .. }) => {
            let key = ThreadKey::new(&image.tenant, &change.thread);
            // The image of the thread may come later.
            let thread_pk = source.thread_pk_or_begin(&key)?;
            let row =
                ChangeRow::new(number(change.position.get()), thread_pk, change.at.as_micros(), &change.kind);
            Ok(row.map_or(Ok(()), |row| row.insert(&mut ChangeRow::statement(db)?))?)
        }
        // An existing record stays: the audit log is append-only.
        ImagePart::Audit(entry) if entry.number > AuditRow::last(db)? => Ok(AuditRow::insert(db, entry)?),
        _ => Ok(()),
    }
}

/// Returns whether the store lacks an alias.
fn is_missing(db: &Connection, tenant: &TenantId, image: &NameImage) -> Applied<bool> {
    let NameImage { thread, generation, known } = image;
    let Alias { message, role, origin } = &known.alias;
    let is_there: bool = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM threads t JOIN aliases a ON a.thread_pk = t.thread_pk \
             WHERE t.tenant = ?1 AND t.thread = ?2 AND a.generation = ?3 AND a.message_id = ?4 \
             AND a.seen = ?5 AND a.role = ?6 AND a.turn IS ?7 AND a.item IS ?8 AND a.event IS ?9)",
        )?
        .query_row(
            params![
                tenant.as_str(),
                thread.as_str(),
                number(generation.get()),
                message.as_str(),
                number(known.seen.get()),
                role.as_str(),
                origin.turn.as_ref().map(TurnId::as_str),
                origin.item.as_ref().map(ItemId::as_str),
                origin.event.as_ref().map(EventId::as_str),
            ],
            |row| row.get(0),
        )
        .optional()?
        .unwrap_or(false);
    Ok(!is_there)
}
