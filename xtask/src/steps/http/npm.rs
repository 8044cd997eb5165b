//! Packages of npm with a lock, in the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::process::Process;
use crate::steps::installation::{self, Installation};
use crate::steps::tools;
use crate::workspace::Workspace;

/// A copy of a folder of the workspace, with the packages of its lock.
#[derive(Debug)]
pub(super) struct Packages {
    folder: PathBuf,
}

/// The file with the lock that is installed.
const INSTALLED: &str = "installed.json";

/// The folder with the logs of the installation.
const LOGS: &str = "logs";

/// The entries of a copy that stay from one run to the next.
const KEPT: [&str; 2] = ["node_modules", INSTALLED];

impl Packages {
    /// Copies `source`, a folder from the root, into the target folder, and installs its packages there. It is impossible without
    /// Node, and without the registry.
    pub(super) fn with(workspace: &Workspace, name: &str, source: &str) -> Result<Installation<Self>> {
        for program in ["node", "npm"] {
            if !workspace.program(program).args(["--version"]).succeeds() {
                return Ok(Installation::Impossible(format!("there is no {program}")));
            }
        }
        let packages = Self { folder: workspace.metadata().target.join("xtask").join(name) };
        packages.copy(workspace, source)?;
        let lock = fs::read_to_string(packages.folder.join("package-lock.json"))?;
        let installed = packages.folder.join(INSTALLED);
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == lock) {
            return Ok(Installation::Complete(packages));
        }
        let logs = packages.folder.join(LOGS);
        let installs = packages
            .npm(workspace)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--logs-dir"])
            .args([&logs])
            // A registry that does not answer is noticed long before the limit.
            .args(["--fetch-retries", "1", "--fetch-timeout", "60000"])
            .limit(tools::INSTALLATION)
            .run();
        if let Err(error) = installs {
            let why = format!("npm cannot install the packages of {source}: {error}");
            if installation::npm_reached_no_registry(&text_of(&logs)) {
                return Ok(Installation::Impossible(why));
            }
            return Err(why.into());
        }
        fs::write(installed, lock)?;
        Ok(Installation::Complete(packages))
    }

    /// Replaces the files of an earlier run.
    fn copy(&self, workspace: &Workspace, source: &str) -> Result {
        fs::create_dir_all(&self.folder)?;
        for old in fs::read_dir(&self.folder)? {
            let old = old?;
            if KEPT.iter().any(|kept| old.file_name() == *kept) {
                continue;
            }
            if old.file_type()?.is_dir() {
                fs::remove_dir_all(old.path())?;
            } else {
                fs::remove_file(old.path())?;
            }
        }
        for path in workspace.files()? {
            let Some(relative) = path.strip_prefix(source) else { continue };
            let copy = self.folder.join(relative);
            fs::create_dir_all(copy.parent().ok_or("a file is in a folder")?)?;
            let original = workspace.root().join(&path);
            // A file that was removed can still be in the index.
            if original.try_exists()? {
                fs::copy(original, copy).map_err(|error| format!("{path} cannot be copied: {error}"))?;
            }
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A call of npm that writes nothing outside of the target folder.
    pub(super) fn npm(&self, workspace: &Workspace) -> Process {
        let cache = workspace.metadata().target.join("xtask").join("cache").join("npm");
        Process::new("npm", &self.folder).args(["--no-update-notifier", "--cache"]).args([cache])
    }
}

/// The text of the files of a folder: none if it is absent.
fn text_of(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
}
