//! The workspace that the steps check.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::metadata::{Metadata, Package};
use crate::process::Process;

/// Where it is, what is in it, and how to call cargo on it.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
    /// Output goes to a log, not to a person.
    plain: bool,
    /// The checks whose counts can be scaled do more.
    long: bool,
}

impl Workspace {
    /// The workspace that the current folder is in.
    pub(crate) fn find(long: bool) -> Result<Self> {
        let metadata = Process::new(cargo(), Path::new("."))
            .args(["metadata", "--no-deps", "--format-version", "1", "--quiet"])
            .capture()?;
        let plain = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        Ok(Self { metadata: Metadata::parse(&metadata)?, plain, long })
    }

    /// The metadata that cargo has of it.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        &self.metadata.root
    }

    /// The paths of all files that are or would be committed: from the root, with `/` between the parts, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        // A file that is not yet added counts too: a check must speak before the commit, not after it.
        let listing = self
            .program("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .capture()?;
        let mut paths: Vec<_> = listing.split_terminator('\0').map(str::to_owned).collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    /// The text of a file of [`Workspace::files`]. There is none if the bytes are not text, or if the file was removed but is still in the
    /// index.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    /// The folder of a member: from the root, with `/` between the parts and at the end. Empty for the root package.
    pub(crate) fn folder(&self, package: &Package) -> String {
        let folder = package.manifest.parent().unwrap_or(self.root());
        let relative = folder.strip_prefix(self.root()).unwrap_or(folder);
        relative.iter().map(|part| format!("{}/", part.display())).collect()
    }

    /// Whether the checks whose counts can be scaled are to do more.
    pub(crate) const fn is_long(&self) -> bool {
        self.long
    }

    /// A call of cargo in its folder.
    pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Process {
        self.program(cargo()).args(args)
    }

    /// A call of any program in its folder.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Process {
        let process = Process::new(program, self.root());
        if self.plain { plain(process) } else { process }
    }
}

/// The cargo that runs xtask, so that a toolchain chosen with `+name` stays chosen.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// No colors, no progress bars and no incremental build, which costs time and disk and pays only at the second build. No line tables either:
/// without them the members of the workspace compile in nine tenths of the time. A panic names its line nevertheless.
fn plain(process: Process) -> Process {
    process
        .setting("CARGO_PROFILE_DEV_DEBUG", "none")
        .setting("CARGO_PROFILE_TEST_DEBUG", "none")
        .setting("CARGO_TERM_COLOR", "never")
        .setting("CARGO_TERM_PROGRESS_WHEN", "never")
        .setting("NEXTEST_SHOW_PROGRESS", "counter")
        .setting("NO_COLOR", "1")
        .setting("CARGO_INCREMENTAL", "0")
}
