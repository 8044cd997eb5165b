//! A virtual environment of Python with pinned packages, in the target folder.

use std::fs;
use std::path::PathBuf;

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

impl Environment {
    /// Creates it, or returns the one of an earlier run with the same requirements. The error says what is missing.
    pub(super) fn with(workspace: &Workspace, name: &str, requirements: &str) -> Result<Self> {
        let text = fs::read_to_string(workspace.root().join(requirements))?;
        let folder = workspace.metadata().target.join("xtask").join("python").join(name);
        let environment = Self { folder };
        if fs::read_to_string(environment.folder.join(INSTALLED)).is_ok_and(|installed| installed == text) {
            return Ok(environment);
        }
        if !workspace.program("python3").args(["--version"]).succeeds() {
            return Err("there is no python3".into());
        }
        if environment.folder.exists() {
            fs::remove_dir_all(&environment.folder)?;
        }
        let folder = environment.folder.display().to_string();
        workspace
            .program("python3")
            .args(["-m", "venv", &folder])
            .run()
            .map_err(|error| format!("python3 cannot create a virtual environment: {error}"))?;
        let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement", requirements];
        let installs = environment.program(workspace, "pip").args(pip).run();
        installs.map_err(|error| format!("pip cannot install {requirements}: {error}"))?;
        fs::write(environment.folder.join(INSTALLED), text)?;
        Ok(environment)
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
