//! The layer `disk_guard`: it refuses growing writes before the disk is full.

mod checks;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use throughline::{
    ErrorKind, OpKind, PersistError, PersistRequest, Persistence, Phase,
    layers::disk_guard::{Directory, DiskChange, DiskGuardLayer, FreeSpace},
    memory::MemoryBackend,
    plugin::{NextRequest, from_fn},
};

use self::checks::CHECKS;
use crate::kit::{Bypassed, failing};

const LOW: u64 = 1000;
const HIGH: u64 = 2000;
const EVERY: Duration = Duration::from_secs(1);

/// A disk whose free space the check sets. It records the changes that the layer reports to its hook.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<State>);

#[derive(Default)]
struct State {
    /// `None` if the disk cannot be measured.
    free: Mutex<Option<u64>>,
    looks: AtomicUsize,
    changes: Mutex<Vec<DiskChange>>,
}

impl Disk {
    pub(crate) fn of(free: u64) -> Self {
        let disk = Self::default();
        disk.set(Some(free));
        disk
    }

    pub(crate) fn set(&self, free: Option<u64>) {
        *self.0.free.lock().unwrap() = free;
    }

    pub(crate) fn measurements(&self) -> usize {
        self.0.looks.load(Ordering::Relaxed)
    }

    pub(crate) fn changes(&self) -> Vec<DiskChange> {
        self.0.changes.lock().unwrap().clone()
    }

    fn record(&self, change: DiskChange) {
        self.0.changes.lock().unwrap().push(change);
    }
}

impl FreeSpace for Disk {
    fn free(&self) -> io::Result<u64> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        self.0.free.lock().unwrap().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    stack: fn(Disk) -> Persistence,
}

fn layer(disk: Disk, high: u64, every: Duration) -> DiskGuardLayer {
    let hook = disk.clone();
    DiskGuardLayer::new(disk, LOW, high).every(every).on_change(move |change| hook.record(change))
}

macro_rules! stacks {
    ($layer:expr) => {
        Stacks {
            stack: |disk| {
                Persistence::builder().layer($layer(disk)).backend(MemoryBackend::new()).build().unwrap()
            },
        }
    };
}

#[test]
fn the_disk_guard_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(|disk| layer(disk, HIGH, EVERY))), [""; 0]);
}

#[test]
fn a_disk_guard_layer_that_skips_batches_fails_its_check() {
    let forgets = stacks!(|disk| Bypassed {
        layer: layer(disk, HIGH, EVERY),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(failing(CHECKS, &forgets), ["every-growing-write-is-refused"]);
}

#[test]
fn a_disk_guard_layer_with_one_threshold_fails_its_check() {
    let single = stacks!(|disk| layer(disk, LOW, EVERY));
    assert_eq!(failing(CHECKS, &single), ["stays-closed-between-the-thresholds"]);
}

#[test]
fn a_disk_guard_layer_that_measures_at_every_write_fails_its_checks() {
    let every = stacks!(|disk| layer(disk, HIGH, Duration::ZERO));
    assert_eq!(failing(CHECKS, &every), ["measures-at-intervals", "concurrent-writes-measure-once"]);
}

#[test]
fn a_disk_guard_layer_that_refuses_every_write_fails_its_checks() {
    let refuses = stacks!(|disk: Disk| {
        from_fn("disk-guard", Phase::Admit, move |request: PersistRequest, next: NextRequest| {
            let disk = disk.clone();
            async move {
                if request.kind().is_write() && disk.free().unwrap_or(0) < LOW {
                    return Err(PersistError::new(ErrorKind::StorageFull, "full"));
                }
                next.run(request).await
            }
        })
    });
    let broken = [
        "refuses-below-low-and-accepts-above-high",
        "stays-closed-between-the-thresholds",
        "finishes-and-deletes-are-accepted",
        "measures-at-intervals",
        "concurrent-writes-measure-once",
        "fails-open",
    ];
    assert_eq!(failing(CHECKS, &refuses), broken);
}

#[test]
fn an_existing_directory_can_be_measured_and_a_missing_one_cannot() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Directory::new(folder.path()).free().unwrap() > 0);
    assert_eq!(
        Directory::new(folder.path().join("gone")).free().unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
