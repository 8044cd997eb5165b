//! A disk that is read-only, and one with small blocks that is full.

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
    place::{Place, hear, is_bus_error},
};

const MIB: u64 = 1 << 20;

#[test]
fn rel_39_mounted_read_only() {
    let disk = match Ext4::mount(64 * MIB, 4096) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a disk that is read-only", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let place = Place::on(disk.path());
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&place.store(), place.acks()).await;
        host.add("before").await.unwrap();
        let refused = disk.forbid_writing().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "under an open store");
        host.db.close().await.unwrap();
        disk.forbid_writing().unwrap();
        let refused = host.options().open(place.store()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.to_string().to_lowercase().contains("read-only"), "{refused}");
        disk.allow_writing().unwrap();
    });
    place.check(&mut report);
    report.fired("the disk was read-only", 1);
    report.finish();
}

/// As ext4 makes a disk that fails read-only under those who write on it.
#[test]
fn rel_39_a_disk_that_became_read_only() {
    let disk = match Ext4::mount(64 * MIB, 4096) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a disk that becomes read-only", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let place = Place::on(disk.path());
    let mut part = place.part("read-only").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _words = hear(&mut part, "ready");
    disk.abort().unwrap();
    part.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let ended = part.wait().unwrap();
    // The kernel may end it instead, where it writes to the index of the log.
    assert!(ended.success() || is_bus_error(ended), "{ended}");
    disk.mount_again().unwrap();
    report.count("bus_error", is_bus_error(ended));
    place.check(&mut report);
    report.fired("the disk became read-only", 1);
    report.finish();
}

pub(super) async fn on_a_disk_that_became_read_only(host: Host) {
    host.add("before").await.unwrap();
    println!("ready");
    io::stdin().read_line(&mut String::new()).unwrap();
    // What became of the first one cannot be found out while nothing can be written.
    let first = host.add("the first").await.unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Unavailable, "{first}");
    host.refuses("the second").await;
    host.refuses("the third").await;
}

/// A page of the index of the log is larger than a block, and has a block for its end only: the kernel ends a process
/// that writes to the rest of it when there is no block left. Only a store without a floor comes there.
#[test]
fn rel_39_a_full_disk_with_small_blocks() {
    let disk = match Ext4::mount(16 * MIB, 1024) {
        Ok(disk) => disk,
        Err(why) => return skipped("REL-39 on a full disk with small blocks", &why.to_string()),
    };
    let mut report = Report::new("REL-39");
    let place = Place::on(disk.path());
    assert!(place.part("open").spawn().unwrap().wait().unwrap().success(), "there is space");
    let (mut killed, mut refused) = (0, 0);
    for left in (0..48).step_by(4) {
        let ballast = Ballast::leaving(left << 10, disk.path());
        let protected = place.part("protected").spawn().unwrap().wait().unwrap();
        assert!(protected.success(), "{protected} with {left} KiB left");
        let ended = place.part("unprotected").spawn().unwrap().wait().unwrap();
        assert!(ended.success() || is_bus_error(ended), "{ended} with {left} KiB left");
        killed += u64::from(is_bus_error(ended));
        refused += 1;
        drop(ballast);
        assert!(place.part("open").spawn().unwrap().wait().unwrap().success(), "there is space again");
    }
    place.check(&mut report);
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
