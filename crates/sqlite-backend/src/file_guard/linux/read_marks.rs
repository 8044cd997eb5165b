//! Reads whose marks a second library may have moved.
//!
//! A read marks in the wal-index how far it reads the WAL, and holds a lock on its mark, so that no checkpoint copies later
//! pages into the file under it. A second library in the process does not see that lock. It moves the mark when it begins a
//! read of its own, and drops the lock when it closes the file. So once a program has opened the index, the store runs a checkpoint only
//! after a moment without any read.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use super::registry::Shared;
use crate::reader_barrier::ReaderBarrier;

/// The marks of the reads of this process.
#[derive(Debug, Default)]
pub(super) struct ReadMarks {
    may_be_moved: AtomicBool,
    /// The number of running reads of maintenance, which pass no barrier.
    maintenance: AtomicUsize,
    /// The barriers of the stores.
    readers: Mutex<Vec<Weak<ReaderBarrier>>>,
}

impl ReadMarks {
    /// Adds the readers of a store.
    pub(super) fn add(&self, readers: &Arc<ReaderBarrier>) {
        let mut all = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(readers)));
        all.push(Arc::downgrade(readers));
    }

    /// Records that a second library may have begun a read.
    pub(super) fn set_may_be_moved(&self) {
        self.may_be_moved.store(true, Relaxed);
    }

    pub(super) fn may_be_moved(&self) -> bool {
        self.may_be_moved.load(Relaxed)
    }

    /// Returns whether no running read has a moved mark. Called while no other library can begin a read.
    pub(super) fn are_sound(&self) -> bool {
        if !self.may_be_moved.swap(false, Relaxed) {
            return true;
        }
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = self.maintenance.load(SeqCst) == 0
            && readers.iter().filter_map(Weak::upgrade).all(|readers| readers.is_idle());
        drop(readers);
        if !is_idle {
            self.set_may_be_moved();
        }
        is_idle
    }
}

/// A read of maintenance, until it is dropped.
#[derive(Debug)]
pub(crate) struct MaintenanceRead(Option<Shared>);

impl MaintenanceRead {
    /// Begins a read of the file at a path.
    pub(crate) fn begin(path: &Path) -> Self {
        let files = Shared::of(path);
        if let Some(files) = &files {
            files.read_marks.maintenance.fetch_add(1, SeqCst);
        }
        Self(files)
    }
}

impl Drop for MaintenanceRead {
    fn drop(&mut self) {
        if let Some(files) = &self.0 {
            files.read_marks.maintenance.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_may_be_moved_are_sound_after_a_moment_without_a_read() {
        let marks = ReadMarks::default();
        let [first, second] = [(); 2].map(|()| Arc::<ReaderBarrier>::default());
        [&first, &second, &first].into_iter().for_each(|readers| marks.add(readers));
        let reading = first.enter();
        assert!(marks.are_sound(), "no second library was there");
        marks.set_may_be_moved();
        assert!(!marks.are_sound());
        drop(reading);
        let reading = second.enter();
        assert!(marks.may_be_moved() && !marks.are_sound());
        drop(reading);
        marks.maintenance.fetch_add(1, SeqCst);
        assert!(!marks.are_sound());
        marks.maintenance.fetch_sub(1, SeqCst);
        assert!(marks.are_sound() && !marks.may_be_moved());
        // Later reads have marks that were not moved.
        let _reading = first.enter();
        assert!(marks.are_sound());
    }
}
