//! Applies row images through the engine. Missing rows that an image refers to are created: images come in the
//! order of the latest change.

mod alias;
mod append_only;
mod free_seqs;

use sqlx::PgConnection;
use throughline_core::{
    PersistError,
    replication::{Image, ImagePart},
};
use throughline_engine::{
    Halt, Limits, RowKey, RowSource as _, StagedRows, Transaction,
    rows::{MessageKey, ThreadKey},
};

use super::{Key, State, capture::record};
use crate::{
    metadata_index::MetadataNames,
    rows::{NotLoaded, Source, writing},
    search,
};

/// Applies a page of images over the existing rows.
pub(super) async fn put(
    db: &mut PgConnection,
    state: &mut State,
    images: &[Image],
) -> sqlx::Result<Result<(), PersistError>> {
    // The row of the store is locked, so that no host declares a name meanwhile.
    let names = MetadataNames::read(db).await?;
    let mut transaction =
        Transaction::new(Source::default(), Limits::default()).with_indexed_metadata(names.indexed.clone());
    for image in images {
        prefetch(transaction.source_mut(), image);
    }
    transaction.source_mut().load(db).await?;
    let stored_seqs = transaction.source().message_seqs();
    let missing = alias::missing(db, images).await?;
    // Threads that were cleared or deleted. Their messages have no images of their own.
    let mut cleared = Vec::new();
    for (at, image) in images.iter().enumerate() {
        let is_cleared = loop {
            match transaction.put_image(image, missing.contains(&at)) {
                Ok(is_cleared) => break is_cleared,
                Err(Halt::Refused(refusal)) => return Ok(Err(refusal)),
                Err(Halt::Stopped(NotLoaded)) => transaction.source_mut().load(db).await?,
            }
        };
        if let ImagePart::Thread(thread) = &image.part
            && is_cleared
        {
            cleared.push(ThreadKey::new(&image.tenant, &thread.thread));
        }
    }
    let (_, staged) = transaction.into_parts();
    free_seqs::free_seqs(db, &stored_seqs, &staged).await?;
    writing(&staged, &names).run(db).await?;
    append_only::put_changes(db, images).await?;
    append_only::put_audit(db, state, images).await?;
    index(db, &staged, &cleared).await?;
    if state.capture.is_some() {
        // This updates the counter in the row of the store, so the row is read again.
        record(db, Key::changed(&staged)).await?;
        state.touched = State::read(db).await?.touched;
    }
    Ok(Ok(()))
}

/// Records the rows that an image overwrites, for loading.
fn prefetch(source: &mut Source, image: &Image) {
    let (thread, id) = match &image.part {
        ImagePart::Thread(image) => (&image.thread, None),
        ImagePart::Name(image) => (&image.thread, None),
        ImagePart::Key(image) => (&image.thread, None),
        ImagePart::Session(image) => (&image.thread, None),
        ImagePart::Message(image) => (&image.message.thread, Some(&image.message.id)),
        ImagePart::Gone(gone) => (&gone.thread, Some(&gone.id)),
        _ => return,
    };
    let thread = ThreadKey::new(&image.tenant, thread);
    source.expect(RowKey::Thread(&thread));
    if let Some(id) = id {
        source.expect(RowKey::Message(&MessageKey { thread, id: id.clone() }));
    }
}

/// Updates the full-text index of the messages: not every image has a change event.
async fn index(db: &mut PgConnection, staged: &StagedRows, cleared: &[ThreadKey]) -> sqlx::Result<()> {
    let names = |MessageKey { thread, id }: &MessageKey| {
        (thread.tenant.to_string(), thread.thread.to_string(), id.to_string())
    };
    let messages: Vec<_> = staged.messages.changed().map(|(key, _)| names(key)).collect();
    let floor = |key: &ThreadKey| staged.threads.known(key).flatten().map(|row| row.floor);
    let ended: Vec<_> =
        cleared.iter().filter_map(|key| Some((&key.tenant, &key.thread, floor(key)?))).collect();
    search::put(db, &messages, &ended).await
}
