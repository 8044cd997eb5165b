//! Tail reads through a transform that restores text.

use throughline_core::{
    Content, Context, Delta, ErrorKind, PersistError, PersistResult, ReadResult, Result,
    messages::{ContentBuffer, ContentTail, ReadContent, ReadPage},
    pipeline::{InnerService, PersistService},
};

/// Reads on until the answer does not end within a text. A write never divides an edit, but the limit of a read can; a divided edit
/// could not be restored. The further reads have the largest limit, so that a long text needs few of them.
pub(super) async fn complete_text<S: PersistService<Error = PersistError>>(
    inner: &InnerService<S>,
    context: &Context,
    mut read: ReadContent,
    tail: &mut Option<ContentTail>,
) -> Result<()> {
    while let Some(so_far) = tail
        && so_far.has_more
        && so_far.parts.last().is_some_and(ends_with_text)
    {
        (read.after, read.limit) = (Some(so_far.next), ReadPage::MAX_BYTES);
        let PersistResult::Read(ReadResult::Content(more)) = inner.call(context, read.clone()).await?.result
        else {
            let detail = "the inner service answered a read with the result of another operation";
            return Err(PersistError::new(ErrorKind::ContractViolation, detail));
        };
        *tail = more.map(|more| joined(so_far, more));
    }
    Ok(())
}

/// Whether text after this part can continue its last text.
fn ends_with_text(part: &Delta) -> bool {
    match part {
        Delta::Text(_) => true,
        Delta::Blocks(blocks) => blocks.open_text().is_some(),
    }
}

/// Returns an answer and the one that continues it as one.
fn joined(first: &mut ContentTail, mut more: ContentTail) -> ContentTail {
    // Replaced meanwhile: the reader begins again.
    if !more.replaced {
        more.replaced = first.replaced;
        let mut parts = std::mem::take(&mut first.parts);
        for part in more.parts {
            match (parts.last_mut(), part) {
                (Some(Delta::Text(text)), Delta::Text(rest)) => text.push_str(&rest),
                (Some(Delta::Blocks(blocks)), Delta::Text(rest)) if blocks.open_text().is_some() => {
                    *blocks = continued(blocks, &Delta::Text(rest));
                }
                (_, part) => parts.push(part),
            }
        }
        more.parts = parts;
    }
    more
}

/// Returns blocks whose last text has this text too.
fn continued(blocks: &Content, rest: &Delta) -> Content {
    let mut buffer = ContentBuffer::new(blocks);
    buffer.push(rest);
    buffer.content()
}
