//! The store of a test, and the child processes that use it.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;
use throughline_reliability::{
    Report,
    acks::{Ledger, Outcome, check_store},
};
use tokio::runtime::Runtime;

/// The task of a process of [`child`](super::child), the file of its store, and the directory of its acknowledgement log.
pub(super) const PART: &str = "THROUGHLINE_PART";
pub(super) const STORE: &str = "THROUGHLINE_STORE";
pub(super) const ACKS: &str = "THROUGHLINE_ACKS";

/// The directory of a store, and another directory for the acknowledgement logs.
pub(super) struct TestStore {
    directory: PathBuf,
    elsewhere: TempDir,
}

impl TestStore {
    pub(super) fn new() -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        // A process without permissions also enters it.
        fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let directory = elsewhere.path().join("store");
        fs::create_dir(&directory).unwrap();
        fs::create_dir(elsewhere.path().join("acks")).unwrap();
        Self { directory, elsewhere }
    }

    pub(super) fn on(disk: &Path) -> Self {
        Self { directory: disk.to_owned(), ..Self::new() }
    }

    pub(super) fn store(&self) -> PathBuf {
        self.directory.join("chat.db")
    }

    pub(super) fn acks(&self) -> PathBuf {
        self.elsewhere.path().join("acks")
    }

    /// Returns the command of a child process.
    pub(super) fn part(&self, part: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture"]);
        command.env(PART, part).env(STORE, self.store()).env(ACKS, self.acks()).stdout(Stdio::null());
        command
    }

    /// Compares the store with the acknowledgement logs.
    pub(super) fn check(&self, report: &mut Report) {
        let mut ledger = Ledger::new();
        ledger.read_directory(&self.acks()).unwrap();
        let checked = Runtime::new().unwrap().block_on(check_store(&self.store(), &mut ledger));
        assert_eq!(checked.faults, Vec::<String>::new());
        for (name, outcome) in [
            ("acknowledged", Outcome::Applied),
            ("refused", Outcome::Refused),
            ("in_doubt", Outcome::Unknown),
        ] {
            report.count(name, ledger.outcomes(outcome));
        }
    }
}

pub(super) fn is_bus_error(ended: ExitStatus) -> bool {
    ended.signal() == Some(Signal::BUS.as_raw())
}

/// Waits until a process prints a line that ends with `word`. The caller keeps the result, which receives the later lines.
pub(super) fn wait_for_line(process: &mut Child, word: &str) -> impl Sized + use<> {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let found = lines.by_ref().map_while(io::Result::ok).any(|line| line.ends_with(word));
    assert!(found, "the process ended before it printed `{word}`");
    lines
}
