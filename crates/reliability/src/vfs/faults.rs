//! What is to go wrong, and what has.

use std::{
    ffi::c_int,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Call, FileKind, Lie, Plan};

/// What the one file system of this process does wrong: from [`install`](super::install).
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
    /// How many calls the plan was about.
    seen: u64,
    fired: u64,
    /// By call and kind of file.
    calls: [[u64; 3]; Call::ALL.len()],
    lie: Lie,
    /// The calls that do not come back, and how many wait.
    hangs: Option<(Call, FileKind)>,
    hanging: u64,
}

/// What a call has to do instead of what it was asked.
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
    }),
    released: Condvar::new(),
    bytes_written: AtomicU64::new(0),
    synced: AtomicU64::new(0),
    lied: AtomicU64::new(0),
};

impl Faults {
    /// Plans a failure, instead of the one that was planned before. The calls and failures are counted from here on.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.seen, state.fired) = (Some(plan), 0, 0);
        state.calls = [[0; 3]; Call::ALL.len()];
    }

    /// Has every call of this kind on a file of this kind hang, as on a disk that does not answer, until
    /// [`release`](Self::release).
    pub fn hang(&self, call: Call, file: FileKind) {
        self.state().hangs = Some((call, file));
    }

    /// Has the calls that hang go on, and no other hang.
    pub fn release(&self) {
        self.state().hangs = None;
        self.released.notify_all();
    }

    /// How many calls hang at this moment.
    #[must_use]
    pub fn hanging(&self) -> u64 {
        self.state().hanging
    }

    /// Has nothing fail any more. What was counted stays.
    pub fn clear(&self) {
        self.state().plan = None;
    }

    /// How often the failure that was planned last has come.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// How many calls of this kind were made since a failure was planned last, failed ones among them, on any file. One
    /// that can fail in two ways is one kind of call.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls[call.made() as usize].iter().sum()
    }

    /// How many of them were made on a file of this kind.
    #[must_use]
    pub fn calls_on(&self, call: Call, file: FileKind) -> u64 {
        self.state().calls[call.made() as usize][file as usize]
    }

    /// Has the disk lie, or tell the truth again.
    pub fn lie(&self, lie: Lie) {
        self.state().lie = lie;
    }

    /// How often something was said to be on the disk that was not brought there.
    #[must_use]
    pub fn lied(&self) -> u64 {
        self.lied.load(Ordering::SeqCst)
    }

    /// How often something really was brought to the disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    /// How many bytes were written to all files together.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::SeqCst)
    }

    /// Notes a call; says how it fails, if it does.
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

    pub(super) fn told(&self) -> Lie {
        self.state().lie
    }

    pub(super) fn has_lied(&self) {
        self.lied.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn has_synced(&self) {
        self.synced.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn has_written(&self, bytes: c_int) {
        self.bytes_written.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::SeqCst);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
