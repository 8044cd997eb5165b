use crate::{
    AttachmentKey, ConsumerArgs, Effect, ErrorKind, Metadata, PersistArgs, PersistError, ReplicaArgs, Result,
    SessionArgs, UpdateMode, replica::Image,
};

/// What a write holds beside its content: itself, its ids, its place, its answer.
const FRAME: usize = 1024;

/// The bytes that so many entries about what was not applied are counted for.
#[must_use]
pub const fn weight_of_notes(entries: usize) -> usize {
    entries * FRAME
}

/// The bytes that a write is counted for, before it takes a place in the queue of a store.
///
/// ```
/// use throughline_core::{Add, ErrorKind, NewMessage, backend::weight};
///
/// let add = Add::new("t".parse()?, NewMessage::user("hello"));
/// assert!(weight(&add.clone().into(), 1000)? > 0);
/// assert_eq!(weight(&add.into(), 10).unwrap_err().kind(), ErrorKind::TooLarge);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `TooLarge` for content that the store would refuse: it need not wait for that. A copy of what a store holds is never refused.
pub fn weight(args: &PersistArgs, max_content_bytes: u64) -> Result<usize> {
    let fits = |content: usize| {
        if content as u64 <= max_content_bytes {
            return Ok(content);
        }
        let detail = format!("the content has {content} bytes, and {max_content_bytes} are allowed");
        Err(PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied))
    };
    let about =
        |bytes: Result<usize>, thread, id| bytes.map_err(|error: PersistError| error.about(thread, id));
    let held = match args {
        PersistArgs::Add(add) => {
            about(fits(add.content.byte_len()), &add.thread, &add.id)?
                + around(&add.metadata, &add.attachments)
        }
        PersistArgs::Reserve(reserve) => around(&reserve.metadata, &reserve.attachments),
        PersistArgs::UpdateContent(update) => {
            let reason = match &update.mode {
                UpdateMode::Abandon { reason: Some(reason) } => reason.len(),
                _ => 0,
            };
            about(fits(update.change.byte_len()), &update.thread, &update.id)? + reason
        }
        PersistArgs::Update(update) => {
            around(update.metadata.as_metadata(), update.attachments.as_deref().unwrap_or_default())
        }
        PersistArgs::Batch(batch) => {
            let mut held = 0;
            for (index, item) in batch.items.iter().enumerate() {
                held += weight(item, max_content_bytes).map_err(|error| error.with_batch_index(index))?;
            }
            held
        }
        PersistArgs::Import(import) => {
            let mut held = 0;
            for row in &import.rows {
                let bytes = row.content.byte_len();
                let fitting = if import.is_copy() { Ok(bytes) } else { fits(bytes) };
                held += about(fitting, &import.thread, &row.id)?
                    + around(&row.metadata, &row.attachments)
                    + FRAME;
            }
            held
        }
        PersistArgs::Consumer(ConsumerArgs::Quarantine(change)) => change.why.len(),
        PersistArgs::Session(SessionArgs::Fail(fail)) => fail.detail.as_deref().map_or(0, str::len),
        PersistArgs::Session(SessionArgs::Adopt(adopt)) => adopt.runs.len() * FRAME,
        // An exact copy takes what the other store holds.
        PersistArgs::Replica(ReplicaArgs::Apply(apply)) => apply.images.iter().map(Image::weight).sum(),
        _ => 0,
    };
    Ok(FRAME + held)
}

fn around(metadata: &Metadata, attachments: &[AttachmentKey]) -> usize {
    metadata.byte_len() + attachments.iter().map(|key| key.as_str().len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Add, Batch, Content, NewMessage};

    #[test]
    fn the_longest_content_fits_and_one_byte_more_does_not() {
        let add = || Add::new("t".parse().unwrap(), NewMessage::user("hello").with_id("m".parse().unwrap()));
        let max = Content::text("hello").byte_len() as u64;
        assert_eq!(weight(&add().into(), max).unwrap(), FRAME + max as usize);
        let error = weight(&add().into(), max - 1).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
        assert_eq!(error.message().unwrap().as_str(), "m");
        let batch = Batch::new().with(Add::new("t".parse().unwrap(), NewMessage::user(""))).with(add());
        assert_eq!(weight(&batch.into(), max - 1).unwrap_err().batch_index(), Some(1));
    }
}
