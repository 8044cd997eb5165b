use crate::{
    Effect, ErrorKind, MessageId, PersistArgs, PersistError, Result, ThreadId, operation::SessionArgs,
};

/// The memory of a queued write apart from its payload: the operation itself, its queue entry and its answer channel.
const FRAME: usize = 1024;

/// Returns the estimated size of this number of rejected-call records, in bytes.
#[must_use]
pub const fn size_of_rejected_call_records(entries: usize) -> usize {
    entries * FRAME
}

/// Returns the estimated size of a write in the queue of a store, in bytes.
///
/// ```
/// use throughline_core::{ErrorKind, NewMessage, backend::queued_size, messages::Add};
///
/// let add = Add::new("t".parse()?, NewMessage::user("hello"));
/// assert!(queued_size(&add.clone().into(), 1000)? > 0);
/// assert_eq!(queued_size(&add.into(), 10).unwrap_err().kind(), ErrorKind::TooLarge);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `TooLarge` for content beyond `max_content_bytes`, which the store would refuse: such a write need not wait in the
/// queue. A copy of messages that the store has is never refused.
pub fn queued_size(args: &PersistArgs, max_content_bytes: u64) -> Result<usize> {
    check_content(args, max_content_bytes)?;
    let frames = match args {
        PersistArgs::Batch(batch) => batch.items.len(),
        PersistArgs::Import(import) => import.rows.len() + 1,
        PersistArgs::Session(SessionArgs::Adopt(adopt)) => adopt.runs.len() + 1,
        _ => 1,
    };
    Ok(args.byte_len() + frames * FRAME)
}

/// Refuses content that is longer than the store allows.
fn check_content(args: &PersistArgs, max: u64) -> Result<()> {
    let fits = |bytes: usize, thread: &ThreadId, id: &MessageId| {
        if bytes as u64 <= max {
            return Ok(());
        }
        let detail = format!("the content has {bytes} bytes, and {max} are allowed");
        let error = PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied);
        Err(error.about(thread, id))
    };
    match args {
        PersistArgs::Add(add) => fits(add.content.byte_len(), &add.thread, &add.id),
        PersistArgs::UpdateContent(update) => fits(update.change.byte_len(), &update.thread, &update.id),
        PersistArgs::Batch(batch) => batch.items.iter().enumerate().try_for_each(|(index, item)| {
            check_content(item, max).map_err(|error| error.with_batch_index(index))
        }),
        // A fork and an exact copy contain messages that the store has accepted before.
        PersistArgs::Import(import) if !import.is_copy() => {
            import.rows.iter().try_for_each(|row| fits(row.content.byte_len(), &import.thread, &row.id))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Content, NewMessage,
        operation::{Add, Batch},
    };

    #[test]
    fn the_longest_content_fits_and_one_byte_more_does_not() {
        let add = || Add::new("t".parse().unwrap(), NewMessage::user("hello").with_id("m".parse().unwrap()));
        let max = Content::text("hello").byte_len() as u64;
        assert_eq!(queued_size(&add().into(), max).unwrap(), FRAME + 2 + max as usize);
        let error = queued_size(&add().into(), max - 1).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
        assert_eq!(error.message().unwrap().as_str(), "m");
        let batch = Batch::new().with(Add::new("t".parse().unwrap(), NewMessage::user(""))).with(add());
        assert_eq!(queued_size(&batch.into(), max - 1).unwrap_err().batch_index(), Some(1));
    }
}
