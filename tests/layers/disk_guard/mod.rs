//! What would fill the disk is refused before it is full.

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

/// A disk with as much free space as a check says, and what the hook was told of it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<State>);

#[derive(Default)]
struct State {
    /// Nothing where it cannot be measured.
    free: Mutex<Option<u64>>,
    looks: AtomicUsize,
    told: Mutex<Vec<DiskChange>>,
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

    pub(crate) fn looks(&self) -> usize {
        self.0.looks.load(Ordering::Relaxed)
    }

    pub(crate) fn told(&self) -> Vec<DiskChange> {
        self.0.told.lock().unwrap().clone()
    }

    fn tell(&self, change: DiskChange) {
        self.0.told.lock().unwrap().push(change);
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
    DiskGuardLayer::new(disk, LOW, high).every(every).on_change(move |change| hook.tell(change))
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
fn it_keeps_all_its_promises() {
    assert_eq!(failing(CHECKS, &stacks!(|disk| layer(disk, HIGH, EVERY))), [""; 0]);
}

#[test]
fn one_that_forgets_batches_is_caught() {
    let forgets = stacks!(|disk| Bypassed {
        layer: layer(disk, HIGH, EVERY),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(failing(CHECKS, &forgets), ["all-that-grows-is-refused"]);
}

#[test]
fn one_with_a_single_mark_is_caught() {
    let single = stacks!(|disk| layer(disk, LOW, EVERY));
    assert_eq!(failing(CHECKS, &single), ["stays-closed-between-the-marks"]);
}

#[test]
fn one_that_looks_at_every_write_is_caught() {
    let every = stacks!(|disk| layer(disk, HIGH, Duration::ZERO));
    assert_eq!(failing(CHECKS, &every), ["looks-now-and-then", "a-rush-looks-once"]);
}

#[test]
fn one_that_refuses_every_write_is_caught() {
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
        "closes-and-opens",
        "stays-closed-between-the-marks",
        "ends-and-deletions-go-on",
        "looks-now-and-then",
        "a-rush-looks-once",
        "fails-open",
    ];
    assert_eq!(failing(CHECKS, &refuses), broken);
}

#[test]
fn the_directory_of_a_file_can_be_measured_and_one_that_is_not_there_cannot() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Directory::new(folder.path()).free().unwrap() > 0);
    assert_eq!(
        Directory::new(folder.path().join("gone")).free().unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
