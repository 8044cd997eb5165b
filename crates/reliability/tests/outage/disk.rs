//! A read-only disk, and a full disk with small blocks.

use std::{
    io::{self, Write as _},
    path::Path,
    process::Stdio,
};

use throughline_core::ErrorKind;
use throughline_reliability::{
    Report,
    mount::{Ballast, Ext4},
    skipped,
};
use throughline_sqlite::SqliteOptions;
use tokio::runtime::Runtime;

use super::{
    host::Host,
    test_store::{TestStore, is_bus_error, wait_for_line},
};

const MIB: u64 = 1 << 20;

#[test]
fn rel_39_open_is_refused_on_a_read_only_disk() {
    let disk = match Ext4::mount(64 * MIB, 4096) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a disk that is read-only", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let store = TestStore::on(disk.path());
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&store.store(), store.acks()).await;
        host.add("before").await.unwrap();
        let refused = disk.forbid_writing().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "under an open store");
        host.db.close().await.unwrap();
        disk.forbid_writing().unwrap();
        let refused = host.options().open(store.store()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.to_string().to_lowercase().contains("read-only"), "{refused}");
        disk.allow_writing().unwrap();
    });
    store.check(&mut report);
    report.fired("the disk was read-only", 1);
    report.finish();
}

/// Ext4 makes a failing disk read-only while processes write to it.
#[test]
fn rel_39_writes_are_refused_after_the_disk_became_read_only() {
    let disk = match Ext4::mount(64 * MIB, 4096) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a disk that becomes read-only", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let store = TestStore::on(disk.path());
    let mut part = store.part("read-only").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _lines = wait_for_line(&mut part, "ready");
    disk.abort().unwrap();
    part.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let ended = part.wait().unwrap();
    // The kernel may kill the process instead, when it writes to the shared-memory file of the WAL.
    assert!(ended.success() || is_bus_error(ended), "{ended}");
    disk.mount_again().unwrap();
    report.count("bus_error", is_bus_error(ended));
    store.check(&mut report);
    report.fired("the disk became read-only", 1);
    report.finish();
}

pub(super) async fn on_a_disk_that_became_read_only(host: Host) {
    host.add("before").await.unwrap();
    println!("ready");
    io::stdin().read_line(&mut String::new()).unwrap();
    // The store cannot write the fence transaction that would resolve the outcome of the first write.
    let first = host.add("the first").await.unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Unavailable, "{first}");
    host.refuses("the second").await;
    host.refuses("the third").await;
}

/// A page of the shared-memory file is larger than a block, and only its last block is allocated. If no block is left, the
/// kernel kills a process that writes to the rest of the page. This happens only without a free-space floor.
#[test]
fn rel_39_free_space_floor_prevents_bus_errors_on_a_full_disk() {
    let disk = match Ext4::mount(16 * MIB, 1024) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a full disk with small blocks", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let store = TestStore::on(disk.path());
    assert!(store.part("open").spawn().unwrap().wait().unwrap().success(), "there is space");
    let (mut killed, mut refused) = (0, 0);
    for left in (0..48).step_by(4) {
        let ballast = Ballast::leaving(left << 10, disk.path());
        let protected = store.part("protected").spawn().unwrap().wait().unwrap();
        assert!(protected.success(), "{protected} with {left} KiB left");
        let ended = store.part("unprotected").spawn().unwrap().wait().unwrap();
        assert!(ended.success() || is_bus_error(ended), "{ended} with {left} KiB left");
        killed += u64::from(is_bus_error(ended));
        refused += 1;
        drop(ballast);
        assert!(store.part("open").spawn().unwrap().wait().unwrap().success(), "there is space again");
    }
    store.check(&mut report);
    report.fired("ended by a bus error without a floor", killed);
    report.fired("refused with a floor", refused);
    report.finish();
}

pub(super) async fn open_and_write(store: &Path, acks: &Path) {
    let host = Host::open(store, acks).await;
    host.add("there is space").await.unwrap();
    host.db.close().await.unwrap();
}

pub(super) async fn open_without_a_floor(store: &Path, acks: &Path) {
    let Ok(host) = Host::try_open(store, acks).await else { return };
    for n in 0..100 {
        if let Err(error) = host.add(&n.to_string()).await {
            assert!(matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Unavailable), "{error}");
        }
    }
}

pub(super) async fn open_with_a_floor(store: &Path) {
    let refused = SqliteOptions::new().open(store).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
}
