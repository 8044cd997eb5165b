//! REL-3: the power fails right after a backup. An acknowledged backup is complete.
#![cfg(unix)]

use throughline_core::{
    NewMessage, Persistence, ThreadId,
    messages::{Add, Batch},
};
use throughline_reliability::{Report, mount::Ext4, scaled, skipped};
use throughline_sqlite::SqliteBackend;
use tokio::runtime::Runtime;

const DISK: u64 = 64 << 20;

/// The number of power failures.
const CYCLES: u64 = 5;

/// How many messages are copied: more than one page of the cache, and than one step of the copy.
const BATCHES: u64 = 20;
const BATCH: u64 = 100;

#[test]
fn rel_3_backup_survives_a_power_loss() {
    let disk = match Ext4::mount(DISK, 4096) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-3 after a backup", &why.to_string()),
    };
    let mut report = Report::new("REL-3");
    // On another file system, which keeps its power.
    let elsewhere = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let backend = SqliteBackend::open(elsewhere.path().join("chat.db")).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let thread: ThreadId = "t".parse().unwrap();
        for _ in 0..BATCHES {
            let text = "a copy is as good as what it is on. ".repeat(20);
            let adds = (0..BATCH).map(|_| Add::new(thread.clone(), NewMessage::user(text.as_str())).into());
            db.batch(Batch::of(adds.collect())).await.unwrap();
        }
        for cycle in 0..scaled(CYCLES) {
            let path = disk.path().join("copy.db");
            let bytes = maintenance.backup(&path).await.unwrap().bytes;
            disk.shut_down().unwrap();
            disk.mount_again().unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes, "cycle {cycle}");
            let copy = SqliteBackend::open(&path).await.unwrap();
            let found = copy.maintenance().verify().await.unwrap();
            assert_eq!((found.is_sound(), found.messages), (true, BATCHES * BATCH), "{:?}", found.damaged);
            Persistence::builder().backend(copy).build().unwrap().close().await.unwrap();
            std::fs::remove_file(&path).unwrap();
            report.fired("the power went", 1);
        }
        report.count("messages", BATCHES * BATCH);
        db.close().await.unwrap();
    });
    report.finish();
}
