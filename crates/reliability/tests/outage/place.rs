//! Where the stores of these tests are, and the processes that use them.

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

/// What a process of [`child`](super::child) does, with which store, and where it keeps its log.
pub(super) const PART: &str = "THROUGHLINE_PART";
pub(super) const STORE: &str = "THROUGHLINE_STORE";
pub(super) const ACKS: &str = "THROUGHLINE_ACKS";

/// Where a store is, and where what it acknowledged is noted.
pub(super) struct Place {
    directory: PathBuf,
    elsewhere: TempDir,
}

impl Place {
    pub(super) fn anywhere() -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        // For those without rights as well.
        fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let directory = elsewhere.path().join("store");
        fs::create_dir(&directory).unwrap();
        fs::create_dir(elsewhere.path().join("acks")).unwrap();
        Self { directory, elsewhere }
    }

    pub(super) fn on(disk: &Path) -> Self {
        Self { directory: disk.to_owned(), ..Self::anywhere() }
    }

    pub(super) fn store(&self) -> PathBuf {
        self.directory.join("chat.db")
    }

    pub(super) fn acks(&self) -> PathBuf {
        self.elsewhere.path().join("acks")
    }

    /// A process of its own.
    pub(super) fn part(&self, part: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture"]);
        command.env(PART, part).env(STORE, self.store()).env(ACKS, self.acks()).stdout(Stdio::null());
        command
    }

    /// Holds the store against the log of what it was asked and has answered.
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

/// Waits until a process says this. What else it says goes to the answer, which has to be kept for that.
pub(super) fn hear(process: &mut Child, word: &str) -> impl Sized + use<> {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let heard = lines.by_ref().map_while(io::Result::ok).any(|line| line.ends_with(word));
    assert!(heard, "it ended without a word");
    lines
}
