//! A command that reads leaves every byte and time of every file as it was.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    kit::{files, run_on, store},
    server::Server,
};

/// The commands that only read, and their exit codes on the store of the kit.
const READING: &[(&[&str], i32)] = &[
    (&["threads"], 0),
    (&["threads", "--json", "--archived", "--limit", "1"], 0),
    (&["threads", "--order", "newest", "--unlisted"], 0),
    (&["show", "trip"], 0),
    (&["show", "trip", "--format", "markdown", "--last", "1"], 0),
    (&["search", "lisbon"], 0),
    (&["tail", "trip"], 0),
    (&["tail", "--after", "0", "--json"], 0),
    (&["doctor"], 0),
    (&["verify"], 0),
    (&["stats"], 0),
    (&["repair"], 0),
    (&["retain", "--keep", "1"], 0),
    (&["purge", "--all-tenants"], 0),
    (&["compact"], 0),
    (&["audit", "log"], 0),
];

fn every_reading_command_changes_nothing(folder: &Path, path: &Path) {
    let before = files(folder);
    for (arguments, code) in READING {
        let ran = run_on(path, arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {ran:?}");
        assert_eq!(files(folder), before, "{arguments:?} changed a file");
    }
}

#[tokio::test]
async fn reading_commands_change_no_file_of_a_closed_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    every_reading_command_changes_nothing(folder.path(), &path);
}

#[cfg(unix)]
#[tokio::test]
async fn reading_commands_work_in_a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    for file in fs::read_dir(folder.path()).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    every_reading_command_changes_nothing(folder.path(), &path);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn reading_commands_change_no_file_next_to_a_live_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let server = Server::start(&path);
    server.add("trip", "live-1", "written by a live process").unwrap();
    // The writer also checkpoints when it is idle. A stopped process keeps its locks and its WAL, and changes nothing.
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(folder.path().join("chat.db-wal").exists());
    every_reading_command_changes_nothing(folder.path(), &path);
    let shown = run_on(&path, &["show", "trip"]);
    assert!(shown.out.contains("written by a live process"), "{shown:?}");
    kill_process(pid, Signal::CONT).unwrap();
}
