//! The planned faults and their counters.

use std::{
    collections::BTreeSet,
    ffi::c_int,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Call, FileKind, Lie, Plan};

/// The faults of the file system of this process, from [`install`](super::install).
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
    released: Condvar,
    bytes_written: AtomicU64,
    synced: AtomicU64,
    lied: AtomicU64,
}

#[derive(Debug)]
struct State {
    plan: Option<Plan>,
    /// How many calls matched the plan.
    seen: u64,
    fired: u64,
    /// By call and kind of file.
    calls: [[u64; 3]; Call::ALL.len()],
    lie: Lie,
    /// The calls that block, and how many of them wait.
    hangs: Option<(Call, FileKind)>,
    hanging: u64,
    pages: Pages,
}

/// The offsets of the pages of the main file that the disk may lack.
#[derive(Debug)]
struct Pages {
    /// Written, and not synced yet.
    unsynced: BTreeSet<i64>,
    /// Written before a sync that failed. A later sync does not write them: the kernel considers them written.
    lost: BTreeSet<i64>,
}

/// A fault of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) call: Call,
    pub(super) code: c_int,
}

pub(super) static FAULTS: Faults = Faults {
    state: Mutex::new(State {
        plan: None,
        seen: 0,
        fired: 0,
        calls: [[0; 3]; Call::ALL.len()],
        lie: Lie::None,
        hangs: None,
        hanging: 0,
        pages: Pages { unsynced: BTreeSet::new(), lost: BTreeSet::new() },
    }),
    released: Condvar::new(),
    bytes_written: AtomicU64::new(0),
    synced: AtomicU64::new(0),
    lied: AtomicU64::new(0),
};

impl Faults {
    /// Plans a failure and replaces the former plan. Resets the counters of calls and failures.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.seen, state.fired) = (Some(plan), 0, 0);
        state.calls = [[0; 3]; Call::ALL.len()];
    }

    /// Blocks every call of this kind on a file of this kind until [`release`](Self::release), like a disk that
    /// does not answer.
    pub fn hang(&self, call: Call, file: FileKind) {
        self.state().hangs = Some((call, file));
    }

    /// Continues the blocked calls and blocks no others.
    pub fn release(&self) {
        self.state().hangs = None;
        self.released.notify_all();
    }

    /// Returns how many calls are blocked now.
    #[must_use]
    pub fn hanging(&self) -> u64 {
        self.state().hanging
    }

    /// Removes the plan. The counters stay.
    pub fn clear(&self) {
        self.state().plan = None;
    }

    /// Returns how often the current plan fired.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// Returns how many calls of this kind were made on any file since the last plan, including failed ones. Calls
    /// that can fail in two ways count as one kind.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls[call.made() as usize].iter().sum()
    }

    /// Returns how many of them were made on a file of this kind.
    #[must_use]
    pub fn calls_on(&self, call: Call, file: FileKind) -> u64 {
        self.state().calls[call.made() as usize][file as usize]
    }

    /// Sets which syncs the disk only pretends to do.
    pub fn lie(&self, lie: Lie) {
        self.state().lie = lie;
    }

    /// Returns how often a sync was reported but not done.
    #[must_use]
    pub fn lied(&self) -> u64 {
        self.lied.load(Ordering::SeqCst)
    }

    /// Returns how often a sync was really done.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    /// Returns how many pages of main files a failed sync lost: they were not written again since. The process may have
    /// one main file only.
    #[must_use]
    pub fn lost_pages(&self) -> usize {
        self.state().pages.lost.len()
    }

    /// Returns how many bytes were written to all files.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::SeqCst)
    }

    /// Counts a call. Returns its fault, if it fails.
    pub(super) fn meet(&self, made: Call, file: FileKind) -> Option<Fault> {
        let mut state = self.state();
        state.calls[made as usize][file as usize] += 1;
        if state.hangs == Some((made, file)) {
            state.hanging += 1;
            let hangs = |state: &mut State| state.hangs == Some((made, file));
            state = self.released.wait_while(state, hangs).unwrap_or_else(PoisonError::into_inner);
            state.hanging -= 1;
        }
        let plan = state.plan.filter(|plan| plan.is_about(made, file))?;
        state.seen += 1;
        if !plan.strikes(state.seen) {
            return None;
        }
        state.fired += 1;
        Some(Fault { call: plan.call, code: plan.code })
    }

    pub(super) fn current_lie(&self) -> Lie {
        self.state().lie
    }

    pub(super) fn has_lied(&self) {
        self.lied.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn has_synced(&self, file: FileKind) {
        self.synced.fetch_add(1, Ordering::SeqCst);
        if file == FileKind::Main {
            self.state().pages.unsynced.clear();
        }
    }

    pub(super) fn has_not_synced(&self, file: FileKind) {
        if file == FileKind::Main {
            let Pages { unsynced, lost } = &mut self.state().pages;
            lost.append(unsynced);
        }
    }

    pub(super) fn has_written_at(&self, file: FileKind, offset: i64) {
        if file == FileKind::Main {
            let pages = &mut self.state().pages;
            pages.lost.remove(&offset);
            pages.unsynced.insert(offset);
        }
    }

    pub(super) fn has_written(&self, bytes: c_int) {
        self.bytes_written.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::SeqCst);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
