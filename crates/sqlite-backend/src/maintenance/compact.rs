//! Gives the free pages of the file back to the file system, in bounded steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use throughline_core::{Effect, ErrorKind, PersistError, Result, TenantId};
use tokio::time::sleep;

use super::Maintenance;
use crate::{
    queue::{Times, Work, lost},
    writer::Submission,
};

/// The largest number of pages of one step: 1 MiB. A step also writes the pages that refer to a moved one.
const PAGES: u64 = 256;

/// The shortest pause between two steps. A writer of another process looks for the lock every one to two milliseconds.
const PAUSE: Duration = Duration::from_millis(4);

/// The attempts to make the file end at its last page, and the pause between them: a second.
const ATTEMPTS: u32 = 20;
const PAUSE_FOR_READERS: Duration = Duration::from_millis(50);

/// The progress of a compaction, and its result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// The bytes of the free pages at the beginning: so much is to be given back.
    pub free_bytes: u64,
    /// The bytes of the pages that were taken off the end of the file so far. Writes may have used the others meanwhile.
    pub returned_bytes: u64,
    /// The length of the file, before the compaction and after it.
    pub file_bytes: (u64, u64),
    /// The bytes that the file keeps because a reader or a backup, here or in another process, uses an older snapshot. The next
    /// checkpoint without such a reader gives them back. 0 during the compaction.
    pub held_bytes: u64,
}

/// The means of a store that can be written.
#[derive(Debug, Clone)]
pub(super) struct Compactor {
    pub(super) submission: Submission,
    pub(super) wait_limit: Duration,
}

impl Compactor {
    /// Takes at most this number of pages off the end of the file, and returns how many. With 0 it makes the file end at its
    /// last page.
    async fn take(&self, pages: u32) -> Result<u32> {
        let taken = Arc::<AtomicU32>::default();
        let work = Work::Compact { pages, taken: Arc::clone(&taken) };
        let times = Times { deadline: None, timeout_at: Instant::now() + self.wait_limit };
        let permit = self.submission.enter(&TenantId::default(), 0, times).await?;
        self.submission.send(permit, work, 0, times).await.unwrap_or_else(|_| Err(lost(Effect::Unknown)))?;
        Ok(taken.load(Ordering::Relaxed))
    }
}

pub(super) async fn compact(
    maintenance: &Maintenance,
    mut progress: impl FnMut(&Compaction),
) -> Result<Compaction> {
    let Some(compactor) = &maintenance.compactor else {
        return Err(unsupported("the store was opened to be read"));
    };
    let before = maintenance.storage().await?;
    if !before.compacts_in_place {
        return Err(unsupported("an earlier version created the file; copy its rows with `rebuild_into`"));
    }
    let page_bytes = before.page_bytes.max(1);
    let mut state = Compaction {
        free_bytes: before.free_bytes,
        file_bytes: (before.file_bytes, before.file_bytes),
        ..Compaction::default()
    };
    loop {
        progress(&state);
        let left = (state.free_bytes - state.returned_bytes) / page_bytes;
        let begun = Instant::now();
        let taken = compactor.take(u32::try_from(left.min(PAGES)).unwrap_or_default()).await?;
        if taken == 0 {
            break;
        }
        state.returned_bytes += u64::from(taken) * page_bytes;
        // The writers of other processes get as much time as this step took.
        sleep(begun.elapsed().max(PAUSE)).await;
    }
    for _ in 1..ATTEMPTS {
        let storage = maintenance.storage().await?;
        (state.file_bytes.1, state.held_bytes) = (storage.file_bytes, storage.held_bytes);
        if storage.held_bytes == 0 {
            break;
        }
        sleep(PAUSE_FOR_READERS).await;
        compactor.take(0).await?;
    }
    Ok(state)
}

fn unsupported(reason: &str) -> PersistError {
    let detail = format!("the file cannot be compacted in place: {reason}");
    PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied)
}
