use throughline_core::{
    Content, Seq, ThreadId,
    replication::{GoneImage, ImagePart, MessageImage, ThreadImage},
};

use crate::rows::{MessageKey, MessageRow, ThreadKey, ThreadRow};

/// The row image of a thread. `has_last` says whether the message of its last sequence number is there.
#[must_use]
pub fn thread_image(thread: &ThreadId, row: &ThreadRow, has_last: bool) -> ThreadImage {
    ThreadImage {
        thread: thread.clone(),
        generation: row.generation,
        deleted: row.deleted,
        floor: row.floor,
        gone_seq: if has_last && row.last_seq > row.floor { Seq::ZERO } else { row.last_seq },
        gone_at: row.removed_at,
        gone_question: row.removed_question.unwrap_or(Seq::ZERO),
        purgeable: row.purgeable,
        facts: row.summary.clone(),
    }
}

/// The row image of a message above the floor, or of what is left of a removed one.
#[must_use]
pub fn message_image(key: &MessageKey, row: &MessageRow, floor: Seq, content: Content) -> ImagePart {
    let MessageKey { thread: ThreadKey { tenant, thread }, id } = key;
    match row.seq {
        Some(seq) if seq > floor => {
            let message = row.message(tenant, thread, id, content);
            ImagePart::Message(Box::new(MessageImage { message, replaced: row.replaced }))
        }
        left => {
            let left = left.map(|seq| (seq, row.attachments.clone()));
            let revision = row.revision.max(row.replaced);
            ImagePart::Gone(GoneImage { thread: thread.clone(), id: id.clone(), revision, left })
        }
    }
}
