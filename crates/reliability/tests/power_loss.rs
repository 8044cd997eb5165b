//! REL-3: the power fails while many tasks write. REL-4: the same check detects lost writes on disks that only report syncs.
#![cfg(unix)]

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use throughline_reliability::{
    Report,
    acks::{Checked, Ledger, check_store},
    mount::Ext4,
    scaled, skipped,
    vfs::Lie,
    worker::{Job, Worker},
};
use tokio::runtime::Runtime;

const DISK: u64 = 512 << 20;

/// The number of power failures on a correct disk, and the most on a disk that lies.
const CYCLES: u64 = 20;

/// The number of cycles with the same store.
const SAME: u64 = 4;

#[test]
fn rel_3_power_loss_loses_no_acknowledged_write() {
    expect_no_loss("REL-3", false);
}

#[test]
fn rel_3_power_loss_loses_no_content_in_a_file_next_to_the_store() {
    expect_no_loss("REL-3 with blobs", true);
}

fn expect_no_loss(name: &'static str, blobs: bool) {
    let mut disk = match Disk::mount() {
        Ok(disk) => Disk { blobs, ..disk },
        Err(why) => return skipped(name, &why),
    };
    let mut report = Report::new(name);
    let mut random = report.random();
    let mut worst = Duration::ZERO;
    let (mut messages, mut losses) = (0, 0);
    for cycle in 0..scaled(CYCLES) {
        let checked = disk.cycle(cycle, Lie::None, &mut random).unwrap();
        assert_eq!(checked.faults, Vec::<String>::new(), "cycle {cycle}");
        worst = worst.max(checked.opened_in);
        messages += checked.messages;
        losses += 1;
    }
    report.count("acknowledged", disk.acknowledged());
    report.count("messages_read", messages);
    report.count("slowest_recovery_ms", worst.as_millis());
    report.fired("the power failed", losses);
    report.fired("acknowledged before the failure", disk.acknowledged());
    report.finish();
}

#[test]
fn rel_4_check_detects_a_disk_that_never_syncs() {
    expect_detected("NoSync", Lie::NoSync);
}

#[test]
fn rel_4_check_detects_commits_without_a_sync_of_the_wal() {
    expect_detected("NormalSync", Lie::NormalSync);
}

fn expect_detected(name: &str, lie: Lie) {
    let mut disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-4", &why),
    };
    let mut report = Report::new("REL-4");
    report.count("lie", name);
    let mut random = report.random();
    let found = (0..CYCLES).find_map(|cycle| match disk.cycle(cycle, lie, &mut random) {
        Some(checked) if checked.faults.is_empty() => None,
        Some(checked) => Some((cycle, checked.faults.len())),
        // The store cannot be opened any more.
        None => Some((cycle, usize::MAX)),
    });
    let (cycle, faults) = found.expect("the check does not detect the lie, so it proves nothing");
    report.count("cycles", cycle + 1);
    report.count("acknowledged", disk.acknowledged());
    report.fired("something acknowledged was lost", faults as u64);
    report.finish();
}

struct Disk {
    ext4: Ext4,
    /// On another file system.
    acks: tempfile::TempDir,
    /// By store.
    acknowledged: BTreeMap<u64, u64>,
    blobs: bool,
}

impl Disk {
    fn mount() -> Result<Self, String> {
        let ext4 = Ext4::mount(DISK, 4096).map_err(|why| why.to_string())?;
        Ok(Self { ext4, acks: tempfile::tempdir().unwrap(), acknowledged: BTreeMap::new(), blobs: false })
    }

    /// Writes, cuts the power, and compares. Returns `None` if the store cannot be opened any more.
    fn cycle(&mut self, cycle: u64, lie: Lie, random: &mut fastrand::Rng) -> Option<Checked> {
        let store = self.ext4.path().join(format!("{}.db", cycle / SAME));
        let acks = self.acks.path().join((cycle / SAME).to_string());
        fs::create_dir_all(&acks).unwrap();
        let job = Job {
            lie,
            seed: random.u64(..),
            blobs: self.blobs,
            ..Job::new(&store, &acks, cycle.to_string())
        };
        let mut worker = Worker::start(env!("CARGO_BIN_EXE_worker"), &job).unwrap();
        assert_eq!(worker.line().as_deref(), Some("open"));
        // The time in which the worker writes; no assertion depends on it.
        thread::sleep(Duration::from_millis(random.u64(100..500)));
        // No call is in flight when the power fails.
        worker.stop().unwrap();
        self.ext4.shut_down().unwrap();
        worker.kill().unwrap();
        assert!(worker.end().unwrap().was_killed());
        self.ext4.mount_again().unwrap();
        self.compare(cycle / SAME, &store, &acks)
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.values().sum()
    }

    fn compare(&mut self, number: u64, store: &Path, acks: &Path) -> Option<Checked> {
        let mut ledger = Ledger::new();
        ledger.read_directory(acks).unwrap();
        self.acknowledged.insert(number, ledger.acknowledged());
        // A task contains a panic of the check.
        let (path, runtime) = (store.to_owned(), Runtime::new().unwrap());
        let checking = runtime.spawn(async move { check_store(&path, &mut ledger).await });
        runtime.block_on(checking).ok()
    }
}
