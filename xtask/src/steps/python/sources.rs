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
    let packages = names(&text).join(",");
    if !packages.is_empty() {
        let destination = archives.display().to_string();
        // Only these: pip asks each distribution for its metadata, and so installs the tool that builds it.
        let args = ["--no-binary", &packages, "--no-deps", "--require-hashes", "--requirement", requirements];
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

/// The packages that a file of requirements names.
fn names(requirements: &str) -> Vec<&str> {
    let lines = requirements.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split(['=', ' ', ';']).next()).collect()
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
    fn the_packages_of_a_file_are_named_without_versions() {
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("# none\n  # really\n\n"), [""; 0]);
        assert_eq!(names("# one\na-b==1 --hash=sha256:00\n c==2\n"), ["a-b", "c"]);
    }
}
