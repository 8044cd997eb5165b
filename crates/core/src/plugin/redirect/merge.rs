//! One list of open messages from two stores.

use crate::{
    ErrorKind, ListOpen, OpenCursor, OpenReservations, PersistError, PersistResponse, PersistResult,
    ReadResult, Result,
};

/// Merges the answers of two stores to the same question. Each side has shown its first `limit` after the cursor, so
/// the first `limit` of both together are complete.
pub(super) fn merge(
    mut here: PersistResponse,
    there: PersistResponse,
    list: &ListOpen,
) -> Result<PersistResponse> {
    let mut merged = open(&mut here.result)?;
    let mut there_result = there.result;
    let other = open(&mut there_result)?;
    let more = merged.next.is_some() || other.next.is_some();
    merged.messages.extend(other.messages);
    merged.messages.sort_by(|a, b| (&a.thread, a.seq).cmp(&(&b.thread, b.seq)));
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let cut = merged.messages.len() > limit;
    merged.messages.truncate(limit);
    merged.next = match merged.messages.last() {
        Some(last) if more || cut => Some(OpenCursor { thread: last.thread.clone(), seq: last.seq }),
        _ => None,
    };
    here.result = PersistResult::Read(ReadResult::OpenReservations(merged));
    Ok(here)
}

fn open(result: &mut PersistResult) -> Result<OpenReservations> {
    match result {
        PersistResult::Read(ReadResult::OpenReservations(open)) => {
            Ok(std::mem::replace(open, OpenReservations { messages: Vec::new(), next: None }))
        }
        other => {
            let kind = other.kind();
            Err(PersistError::new(ErrorKind::ContractViolation, format!("a list was answered as `{kind}`")))
        }
    }
}
