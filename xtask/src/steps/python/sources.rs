//! The source distributions of a peer: fetched from the index, checked against their hashes, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;
use crate::steps::installation::Installation;
use crate::steps::python_environment::Environment;
use crate::workspace::Workspace;

/// The file with the distributions that are unpacked.
const UNPACKED: &str = "unpacked.txt";

/// An archive is unpacked within seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Returns the folder with the unpacked distributions of `requirements`, a file from the root. It is impossible without the index.
pub(super) fn fetch(
    workspace: &Workspace,
    python: &Environment,
    name: &str,
    requirements: &str,
) -> Result<Installation<PathBuf>> {
    let text = fs::read_to_string(workspace.root().join(requirements))?;
    let folder = workspace.metadata().target.join("xtask").join("python-sources").join(name);
    if fs::read_to_string(folder.join(UNPACKED)).is_ok_and(|unpacked| unpacked == text) {
        return Ok(Installation::Complete(folder));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let archives = folder.join("archives");
    fs::create_dir_all(&archives)?;
    if names_any(&text) {
        let destination = archives.display().to_string();
        let args = ["--no-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", requirements];
        let fetched = python.pip(
            workspace,
            "download",
            args.into_iter().chain(["--dest", &destination]),
            requirements,
        )?;
        if let Installation::Impossible(why) = fetched {
            return Ok(Installation::Impossible(why));
        }
        unpack(workspace, python, &archives, &folder)?;
    }
    fs::write(folder.join(UNPACKED), text)?;
    Ok(Installation::Complete(folder))
}

/// Whether a file of requirements names a package.
fn names_any(requirements: &str) -> bool {
    requirements.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

fn unpack(workspace: &Workspace, python: &Environment, archives: &Path, folder: &Path) -> Result {
    for archive in fs::read_dir(archives)? {
        python
            .program(workspace, "python")
            .args(["-m", "tarfile", "-e"])
            .args([archive?.path().as_path(), folder])
            .limit(LIMIT)
            .run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_comments_names_no_package() {
        assert!(!names_any(""));
        assert!(!names_any("# none\n  # really\n\n"));
        assert!(names_any("# one\na==1 --hash=sha256:00\n"));
    }
}
