//! Row images put over the rows that there are, by the engine. The rows that they refer to are made where they are not there yet: the
//! order in which images come is that in which rows were changed last.

mod alias;
mod beside;

use sqlx::PgConnection;
use throughline_core::{
    PersistError,
    replication::{Image, ImagePart},
};
use throughline_engine::{
    Halt, Limits, RowKey, RowSource as _, StagedRows, Transaction,
    rows::{MessageKey, ThreadKey},
};

use super::{Key, State, capture::note};
use crate::{
    rows::{NotLoaded, Source, writing},
    search,
};

/// Puts a page of images in their places, over what is there.
pub(super) async fn put(
    db: &mut PgConnection,
    state: &mut State,
    images: &[Image],
) -> sqlx::Result<Result<(), PersistError>> {
    let mut transaction = Transaction::new(Source::default(), Limits::default());
    for image in images {
        prefetch(transaction.source_mut(), image);
    }
    transaction.source_mut().load(db).await?;
    let missing = alias::missing(db, images).await?;
    // Threads that were cleared or deleted: their messages went without being named.
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
    writing(&staged).run(db).await?;
    beside::put_changes(db, images).await?;
    beside::put_audit(db, state, images).await?;
    index(db, &staged, &cleared).await?;
    if state.capture.is_some() {
        // It counts by itself; what is written of the store afterwards has to have it.
        note(db, Key::changed(&staged)).await?;
        state.touched = State::read(db).await?.touched;
    }
    Ok(Ok(()))
}

/// Notes the rows that an image is put over.
fn prefetch(source: &mut Source, image: &Image) {
    let (thread, id) = match &image.part {
        ImagePart::Thread(image) => (&image.thread, None),
        ImagePart::Name(image) => (&image.thread, None),
        ImagePart::Key(image) => (&image.thread, None),
        ImagePart::Session(image) => (&image.thread, None),
        ImagePart::Message(message) => (&message.thread, Some(&message.id)),
        ImagePart::Gone(gone) => (&gone.thread, Some(&gone.id)),
        _ => return,
    };
    let thread = ThreadKey::new(&image.tenant, thread);
    source.expect(RowKey::Thread(&thread));
    if let Some(id) = id {
        source.expect(RowKey::Message(&MessageKey { thread, id: id.clone() }));
    }
}

/// The full-text index of the messages: not each of the images has a change that tells of it.
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
