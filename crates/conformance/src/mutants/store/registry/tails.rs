//! Faults of tail reads.

use throughline_core::{
    Delta, MessageState, PersistArgs, PersistResult, ReadArgs, ReadResult, Revision, Seq,
    messages::{ContentCursor, ContentTail, ReadPage},
};

use crate::mutants::store::{Mutant, change};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "tail-skips",
        "leaves out the first append behind a cursor",
        &[
            "content.tail_reads_show_each_append_once",
            "content.cursor_continues_after_the_end_of_the_message",
            "content.chunks_of_any_size_are_read_from_any_cursor",
        ],
    )
    .after(|asked, response| {
        if let Some((read, tail)) = change::tail(asked, response)
            && read.after.is_some()
            && !tail.parts.is_empty()
        {
            tail.parts.remove(0);
        }
    }),
    Mutant::new(
        "tail-repeats",
        "shows the content from its start whatever the cursor is",
        &[
            "content.tail_reads_show_each_append_once",
            "content.cursor_continues_after_the_end_of_the_message",
            "content.byte_limit_divides_text_between_characters",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Content(read)) = args {
            read.after = None;
        }
    }),
    Mutant::new(
        "tail-repeats-at-the-end",
        "begins again once the message is settled",
        &["content.cursor_continues_after_the_end_of_the_message"],
    )
    .after(|asked, response| {
        if let Some((read, tail)) = change::tail(asked, response)
            && read.after.is_some_and(|after| after.revision() < tail.revision)
            && !tail.state.is_open()
            && !tail.replaced
        {
            tail.parts.insert(0, Delta::text("again"));
        }
    }),
    Mutant::new(
        "tail-not-reset",
        "shows replaced content without saying that it begins again",
        &["content.replacement_begins_the_content_again"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response) {
            tail.replaced = false;
        }
    }),
    Mutant::new(
        "tail-continues-replaced",
        "continues replaced content at the offset of the old content",
        &["content.replacement_begins_the_content_again"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response)
            && tail.replaced
        {
            tail.replaced = false;
            tail.parts.clear();
        }
    }),
    Mutant::new(
        "tail-resets-always",
        "says with every answer that the content was replaced",
        &["content.tail_reads_show_each_append_once", "content.replacement_begins_the_content_again"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response) {
            tail.replaced = true;
        }
    }),
    Mutant::new(
        "tail-ends-early",
        "says at its limit that there is no more",
        &["content.byte_limit_divides_text_between_characters"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response) {
            tail.has_more = false;
        }
    }),
    Mutant::new(
        "tail-ignores-its-limit",
        "answers a tail read with all there is",
        &["content.byte_limit_divides_text_between_characters"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Content(read)) = args {
            read.limit = ReadPage::MAX_BYTES;
        }
    }),
    Mutant::new(
        "tail-stays-open",
        "says of a settled message that it is streaming",
        &["content.cursor_continues_after_the_end_of_the_message", "content.missing_message_has_no_tail"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response) {
            tail.state = MessageState::Streaming;
        }
    }),
    Mutant::new(
        "tail-takes-any-cursor",
        "takes a cursor outside of the content as one at its start",
        &["content.cursor_outside_of_the_content_is_refused"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Content(read)) = args
            && read.after.is_some_and(|after| after.offset() % 2 == 1)
        {
            read.after = None;
        }
    }),
    Mutant::new(
        "tail-of-nothing",
        "shows an empty message where there is none",
        &["content.missing_message_has_no_tail"],
    )
    .after(|asked, response| {
        if let (
            PersistArgs::Read(ReadArgs::Content(read)),
            PersistResult::Read(ReadResult::Content(tail @ None)),
        ) = (asked, &mut response.result)
        {
            *tail = Some(ContentTail {
                thread: read.thread.clone(),
                id: read.id.clone(),
                seq: Seq::FIRST,
                state: MessageState::Reserved,
                revision: Revision::FIRST,
                replaced: false,
                parts: Vec::new(),
                next: ContentCursor::new(Revision::ZERO, 0, Revision::FIRST),
                has_more: false,
            });
        }
    }),
];
