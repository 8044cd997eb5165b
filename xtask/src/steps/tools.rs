//! `tools`: what the other steps need, installed where that can be done.

use std::time::Duration;

use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The nextest that is installed where there is none: one known to build with the workspace's toolchain.
const NEXTEST: &str = "0.9.143";

/// The Debian packages with which C can be compiled.
const C_COMPILER: [&str; 2] = ["gcc", "libc6-dev"];

/// The longest time that an installation of packages takes. One that takes longer hangs.
pub(super) const INSTALLATION: Duration = Duration::from_secs(600);

/// The longest time that the compilation of a tool takes, with the download of its dependencies. One that takes longer hangs.
pub(super) const COMPILATION: Duration = Duration::from_secs(1800);

/// Checks or installs all of them.
pub(super) fn run(workspace: &Workspace, _: &mut Skips) -> Result {
    component(workspace, "fmt", "rustfmt")?;
    component(workspace, "clippy", "clippy")?;
    c_compiler(workspace)?;
    nextest(workspace)
}

/// The test runner: compiled from crates.io if it is not there.
pub(super) fn nextest(workspace: &Workspace) -> Result {
    if workspace.cargo(["nextest", "--version"]).succeeds() {
        return Ok(());
    }
    println!("cargo-nextest is missing: it is compiled now, once; that takes some minutes");
    // Without its self-update, which is a good part of the compilation and of no use to what cargo installed.
    let lean = ["--no-default-features", "--features", "default-no-update"];
    workspace
        .cargo(["install", "cargo-nextest", "--locked", "--version", NEXTEST])
        .args(lean)
        .limit(COMPILATION)
        .run()
}

/// A part of the toolchain. It is the user's to change, so it is only asked for.
fn component(workspace: &Workspace, subcommand: &str, component: &str) -> Result {
    if workspace.cargo([subcommand, "--version"]).succeeds() {
        return Ok(());
    }
    Err(format!("the toolchain lacks {component}: `rustup component add {component}`").into())
}

/// SQLite is compiled from its C source.
fn c_compiler(workspace: &Workspace) -> Result {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let works = || {
        // CC may carry flags, as in `ccache gcc`.
        let mut words = compiler.split_whitespace();
        words
            .next()
            .is_some_and(|program| workspace.program(program).args(words).args(["--version"]).succeeds())
    };
    if !works() {
        debian(workspace, &format!("a C compiler (`{compiler}`)"), &C_COMPILER)?;
    }
    // The installed compiler need not be the one that CC names.
    if works() { Ok(()) } else { Err(format!("the C compiler `{compiler}` does not run").into()) }
}

/// Whether Debian packages can be installed.
pub(super) fn can_install(workspace: &Workspace) -> bool {
    workspace.program("apt-get").args(["--version"]).succeeds() && is_root(workspace)
}

/// Installs Debian packages if that is possible, and says which otherwise.
pub(super) fn debian(workspace: &Workspace, name: &str, packages: &[&str]) -> Result {
    if !can_install(workspace) {
        return Err(format!("{name} is missing; on Debian: apt-get install {}", packages.join(" ")).into());
    }
    println!("{name} is missing: it is installed now");
    let apt = || -> Process {
        workspace.program("apt-get").setting("DEBIAN_FRONTEND", "noninteractive").limit(INSTALLATION)
    };
    apt().args(["update", "--quiet"]).run()?;
    // dpkg keeps the existing configuration and asks no question.
    let keep = ["-o", "Dpkg::Options::=--force-confold"];
    apt().args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(keep).args(packages).run()
}

fn is_root(workspace: &Workspace) -> bool {
    workspace.program("id").args(["-u"]).capture().is_ok_and(|id| id.trim() == "0")
}
