//! REL-3: the power goes while many tasks write. REL-4: on disks that lie, the same finds what was lost.
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

/// How often the power goes on an honest disk, and how often at most on one that lies.
const CYCLES: u64 = 20;

/// How often the same store is recovered before the next cycle begins with a fresh one.
const SAME: u64 = 4;

#[test]
fn rel_3_power_loss() {
    let mut disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-3", &why),
    };
    let mut report = Report::new("REL-3");
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
    report.fired("the power went", losses);
    report.fired("acknowledged before it went", disk.acknowledged());
    report.finish();
}

#[test]
fn rel_4_a_disk_that_brings_nothing_home() {
    is_found_out("NoSync", Lie::NoSync);
}

#[test]
fn rel_4_a_log_that_is_not_brought_home() {
    is_found_out("NormalSync", Lie::NormalSync);
}

fn is_found_out(name: &str, lie: Lie) {
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
        // Not even a store is left.
        None => Some((cycle, usize::MAX)),
    });
    let (cycle, faults) = found.expect("a lie that is not found out: what was checked proves nothing");
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
}

impl Disk {
    fn mount() -> Result<Self, String> {
        let ext4 = Ext4::mount(DISK, 4096).map_err(|why| why.to_string())?;
        Ok(Self { ext4, acks: tempfile::tempdir().unwrap(), acknowledged: BTreeMap::new() })
    }

    /// Writes, takes the power away, and compares. Nothing where there is no store any more.
    fn cycle(&mut self, cycle: u64, lie: Lie, random: &mut fastrand::Rng) -> Option<Checked> {
        let store = self.ext4.path().join(format!("{}.db", cycle / SAME));
        let acks = self.acks.path().join((cycle / SAME).to_string());
        fs::create_dir_all(&acks).unwrap();
        let job = Job { lie, seed: random.u64(..), ..Job::new(&store, &acks, cycle.to_string()) };
        let mut worker = Worker::start(env!("CARGO_BIN_EXE_worker"), &job).unwrap();
        assert_eq!(worker.line().as_deref(), Some("open"));
        // How much it writes: nothing waits for it.
        thread::sleep(Duration::from_millis(random.u64(100..500)));
        // None of its calls is on its way when the power goes.
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
        // In a task: a panic ends that one only.
        let (path, runtime) = (store.to_owned(), Runtime::new().unwrap());
        let checking = runtime.spawn(async move { check_store(&path, &mut ledger).await });
        runtime.block_on(checking).ok()
    }
}
