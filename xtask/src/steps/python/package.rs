//! The wheel of the package, its types and its tests.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use super::PACKAGE;
use crate::Result;
use crate::steps::installation::Installation;
use crate::steps::parts::Part;
use crate::steps::python_environment::Environment;
use crate::steps::{postgres, tools};
use crate::workspace::Workspace;

/// The tools that build and check the package, and its tests.
const REQUIREMENTS: &str = "crates/python/tests/requirements.txt";

/// The tests take less than 3 minutes, on a busy machine twice as much, and ten times as much in a long run. Tests that take longer hang.
const TESTS: u64 = 600;

/// How much a long run does: the kills of a host with 64 tasks, and the ends of an interpreter with writers at work.
const LONG: [(&str, &str); 2] = [("THROUGHLINE_KILLS", "200"), ("THROUGHLINE_EXITS", "100")];

/// mypy reads the types of a package within a minute.
const TYPES: u64 = 180;

/// The environment with the tools.
pub(super) fn environment(workspace: &Workspace) -> Result<Installation<Environment>> {
    Environment::with(workspace, "package", REQUIREMENTS)
}

/// The wheel of this workspace.
#[derive(Debug)]
pub(super) struct Wheel(PathBuf);

impl Wheel {
    /// Builds it with the profile `dev`. It compiles in a part of the time of a release build, and has the assertions of a debug build.
    pub(super) fn build(workspace: &Workspace, python: &Environment) -> Result<Self> {
        let folder = workspace.metadata().target.join("xtask").join("wheel");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let manifest = format!("{PACKAGE}/Cargo.toml");
        python
            .program(workspace, "maturin")
            .args(["build", "--profile", "dev", "--locked", "--manifest-path", &manifest])
            // A wheel for this machine: it may need libraries that the wheels of an index may not.
            .args(["--compatibility", "linux", "--out"])
            .args([&folder])
            .limit(tools::COMPILATION)
            .run()?;
        let wheels: Vec<_> = fs::read_dir(&folder)?.collect::<std::io::Result<_>>()?;
        match wheels.as_slice() {
            [wheel] => Ok(Self(wheel.path())),
            other => Err(format!("maturin has built {} wheels", other.len()).into()),
        }
    }

    /// Installs it into an environment. The package has no dependencies.
    pub(super) fn install(&self, workspace: &Workspace, python: &Environment) -> Result {
        let wheel = self.0.display().to_string();
        let args = ["--no-index", "--no-deps", "--force-reinstall", &wheel];
        match python.pip(workspace, "install", args, "the wheel")? {
            Installation::Complete(()) => Ok(()),
            Installation::Impossible(why) => Err(why.into()),
        }
    }
}

/// The checks, each with the seconds after which it is ended.
pub(super) fn parts(
    workspace: &Workspace,
    python: &Environment,
    wheel: &Wheel,
    cluster: Option<&Cluster>,
) -> Vec<(u64, Part)> {
    let package = workspace.root().join(PACKAGE);
    let script = format!("{PACKAGE}/python/throughline/_unasync.py");
    let generated = python.program(workspace, "python").args(["-B", &script, "--check"]);
    let types = python
        .program(workspace, "mypy")
        .args(["--strict", "--config-file", &format!("{PACKAGE}/mypy.ini")])
        .args([
            "--cache-dir".as_ref(),
            workspace.metadata().target.join("xtask").join("cache").join("mypy").as_path(),
        ])
        .args([package.join("python").join("throughline")]);
    let mut tests = python.program(workspace, "python").args([
        "-B",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        &format!("{PACKAGE}/tests"),
    ]);
    // The programs of the guide run in an environment that has only the wheel.
    tests = tests.setting("THROUGHLINE_WHEEL", &wheel.0.display().to_string());
    let mut scale = 1;
    if workspace.is_long() {
        tests = LONG.iter().fold(tests, |tests, (variable, value)| tests.setting(variable, value));
        scale = 10;
    }
    let tests = postgres::with_cluster(tests, cluster);
    [
        ("the blocking classes", TYPES, generated),
        ("the types", TYPES, types),
        ("the tests", TESTS * scale, tests),
    ]
    .map(|(name, seconds, check)| (seconds, Part::new(name, check.limit(Duration::from_secs(seconds)))))
    .into()
}
