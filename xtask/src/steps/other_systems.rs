//! The code of the SQLite backend without its part for Linux compiles.
//!
//! Only the target of this machine may be installed. So the check renames the condition in a copy of the package, also that of dependencies,
//! and cargo compiles the rest for this machine. It does not notice a use of an item that the standard library has only on Linux, and it
//! compiles no code for systems other than Unix.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::process::Process;

/// The condition of the code for Linux, and one that this machine does not fulfil.
const LINUX: (&str, &str) = ("target_os = \"linux\"", "target_os = \"none\"");

/// The published package with code for Linux alone.
pub(super) const PACKAGE: &str = "throughline-sqlite";

/// Compiles the library in this folder, a copy, without its code for Linux. `cargo` calls cargo for the copy.
pub(super) fn check(folder: &Path, cargo: impl FnOnce(&[&str]) -> Process) -> Result {
    if rename(folder)? == 0 {
        return Err(format!("{}: no code for Linux", folder.display()).into());
    }
    let rustc = ["rustc", "--package", PACKAGE, "--lib", "--profile", "check"];
    cargo(&rustc).args(["--", "--deny", "warnings"]).run()
}

/// Renames the condition in all files of a folder, and returns the number of files that had it.
fn rename(folder: &Path) -> Result<usize> {
    let mut renamed = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            renamed += rename(&path)?;
            continue;
        }
        let text = fs::read_to_string(&path)?;
        if text.contains(LINUX.0) {
            fs::write(&path, text.replace(LINUX.0, LINUX.1))?;
            renamed += 1;
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_renamed_in_every_folder() {
        let folder = tempfile::tempdir().expect("the folder is made");
        let folder = folder.path();
        let inner = folder.join("inner");
        fs::create_dir_all(&inner).expect("the folder is made");
        for (path, text) in
            [(folder.join("a.rs"), "plain"), (inner.join("b.rs"), "cfg(target_os = \"linux\")")]
        {
            fs::write(path, text).expect("the file is written");
        }
        assert_eq!(rename(folder).expect("the files are text"), 1);
        let text = fs::read_to_string(inner.join("b.rs")).expect("the file is there");
        let plain = fs::read_to_string(folder.join("a.rs")).expect("the file is there");
        assert_eq!((plain.as_str(), text.as_str()), ("plain", "cfg(target_os = \"none\")"));
    }
}
