//! A virtual environment of Python with pinned packages, in the target folder.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::installation::{self, Installation};
use super::tools;
use crate::Result;
use crate::process::Process;
use crate::workspace::Workspace;

/// A virtual environment.
#[derive(Debug)]
pub(super) struct Environment {
    folder: PathBuf,
}

/// The file with the requirements that are installed.
const INSTALLED: &str = "installed.txt";

/// The log of pip.
const LOG: &str = "pip.log";

impl Environment {
    /// Creates it, or returns the one of an earlier run with the same requirements. It is impossible without
    /// Python, and without the index of its packages.
    pub(super) fn with(workspace: &Workspace, name: &str, requirements: &str) -> Result<Installation<Self>> {
        let text = fs::read_to_string(workspace.root().join(requirements))?;
        let folder = workspace.metadata().target.join("xtask").join("python").join(name);
        let environment = Self { folder };
        if fs::read_to_string(environment.folder.join(INSTALLED)).is_ok_and(|installed| installed == text) {
            return Ok(Installation::Complete(environment));
        }
        if !workspace.program("python3").args(["--version"]).succeeds() {
            return Ok(Installation::Impossible("there is no python3".to_owned()));
        }
        if !workspace.program("python3").args(["-c", "import ensurepip, venv"]).succeeds() {
            let why = "python3 cannot create a virtual environment; on Debian: apt-get install python3-venv";
            return Ok(Installation::Impossible(why.to_owned()));
        }
        if environment.folder.exists() {
            fs::remove_dir_all(&environment.folder)?;
        }
        let folder = environment.folder.display().to_string();
        workspace
            .program("python3")
            .args(["-m", "venv", &folder])
            .limit(tools::INSTALLATION)
            .run()
            .map_err(|error| format!("python3 cannot create a virtual environment: {error}"))?;
        let installs =
            environment.pip(workspace, "install", ["--requirement", requirements], requirements)?;
        if let Installation::Impossible(why) = installs {
            return Ok(Installation::Impossible(why));
        }
        fs::write(environment.folder.join(INSTALLED), text)?;
        Ok(Installation::Complete(environment))
    }

    /// Runs a command of pip. It is impossible without the index of the packages, and with one that is too slow. An error contains
    /// `subject`.
    pub(super) fn pip<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        workspace: &Workspace,
        command: &str,
        args: I,
        subject: &str,
    ) -> Result<Installation<()>> {
        let cache = workspace.metadata().target.join("xtask").join("cache").join("pip");
        let log = self.folder.join(LOG);
        // pip appends to its log, and an earlier failure says nothing about this one.
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let pip = self
            .program(workspace, "pip")
            .args([command, "--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
            .args(["--cache-dir".as_ref(), cache.as_path(), "--log".as_ref(), log.as_path()])
            .args(args)
            .limit(tools::INSTALLATION);
        let start = Instant::now();
        if let Err(error) = pip.run() {
            let why = format!("pip cannot {command} {subject}: {error}");
            let was_ended = start.elapsed() >= tools::INSTALLATION;
            if was_ended || installation::pip_reached_no_index(&fs::read_to_string(log).unwrap_or_default()) {
                return Ok(Installation::Impossible(why));
            }
            return Err(why.into());
        }
        Ok(Installation::Complete(()))
    }

    /// A program of the environment, in the folder of the workspace.
    pub(super) fn program(&self, workspace: &Workspace, name: &str) -> Process {
        workspace.program(self.folder.join("bin").join(name))
    }

    /// A program of the environment that writes into its working folder, in the folder of the environment.
    pub(super) fn program_here(&self, name: &str) -> Process {
        Process::new(self.folder.join("bin").join(name), &self.folder)
    }
}
