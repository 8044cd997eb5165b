//! A process that cannot open the files of its store.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use throughline_core::ErrorKind;
use throughline_reliability::{Report, skipped};

use super::{host::Host, test_store::TestStore};

/// The id of a user and a group without permissions.
const UNPRIVILEGED: u32 = 65_534;

#[test]
fn rel_39_store_recovers_after_file_descriptors_ran_out() {
    let mut report = Report::new("REL-39");
    let store = TestStore::new();
    let ended = store.part("descriptors").spawn().unwrap().wait().unwrap();
    assert!(ended.success(), "{ended}");
    store.check(&mut report);
    report.fired("no descriptor was left", 1);
    report.finish();
}

pub(super) async fn without_descriptors(host: Host, store: PathBuf) {
    host.add("before").await.unwrap();
    let limit = getrlimit(Resource::Nofile);
    // The three descriptors below the limit are in use.
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limit.maximum }).unwrap();
    host.add("with what is open").await.unwrap();
    let refused = host.options().open(store.with_file_name("other.db")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    host.lose_the_connection().await;
    host.refuses("without a connection").await;
    host.reads().await.unwrap();
    setrlimit(Resource::Nofile, limit).unwrap();
    host.recovers("after").await;
}

#[test]
fn rel_39_store_recovers_after_it_lost_permissions() {
    let store = TestStore::new();
    let mut part = store.part("permissions");
    if geteuid().is_root() {
        // The file modes do not restrict root.
        for path in [store.store().parent().unwrap(), &store.acks()] {
            // A user namespace may have no other user.
            if let Err(why) = chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)) {
                return skipped("REL-39 without permission", &why.to_string());
            }
        }
        part.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    let mut report = Report::new("REL-39");
    match part.spawn() {
        Ok(mut part) => {
            let ended = part.wait().unwrap();
            assert!(ended.success(), "{ended}");
        }
        Err(why) => return skipped("REL-39 without permission", &why.to_string()),
    }
    store.check(&mut report);
    report.fired("the directory was closed", 1);
    report.fired("the file was closed", 1);
    report.finish();
}

pub(super) async fn without_permission(host: Host, store: PathBuf, acks: PathBuf) {
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let directory = store.parent().unwrap();
    host.add("before").await.unwrap();
    allow(directory, 0o000);
    host.add("with what is open").await.unwrap();
    assert_eq!(host.options().open(&store).await.unwrap_err().kind(), ErrorKind::Unavailable);
    host.lose_the_connection().await;
    host.refuses("with a closed directory").await;
    host.reads().await.unwrap();
    allow(directory, 0o700);
    host.recovers("with an open directory").await;
    host.db.close().await.unwrap();
    allow(&store, 0o400);
    let host = Host::open(&store, acks).await;
    host.reads().await.unwrap();
    host.refuses("to a file for reading").await;
    allow(&store, 0o600);
    host.recovers("to a file for writing").await;
    // SQLite created the WAL and the shared-memory file with the mode of the read-only file. If they stayed, only root could
    // write to them.
    host.db.close().await.unwrap();
}
