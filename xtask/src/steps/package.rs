//! `package`: what a registry would get compiles, and a project outside of this workspace builds a host, a layer and a backend on it.
//!
//! The project outside consists of the unpacked packages and of copies of three examples. Its manifest replaces the crates of this
//! workspace with the packages, so that no file of the workspace is used. Cargo's own verification is left out: it compiles each
//! package and all of its dependencies by itself, with features that the step `features` has checked, and took longer than any other
//! step. The project has the profiles of the workspace and its target folder, so the dependencies are compiled already. Then the
//! public API is compared with the latest release, and the dependencies are checked. The code that remains on systems other than Linux is
//! compiled in the same project.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{other_systems, semver};
use crate::Result;
use crate::metadata::Package;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The examples that the project outside consists of: a host, a layer with its laws, and a backend with its conformance checks.
const EXAMPLES: [&str; 3] = ["catalog", "template_layer", "custom_backend"];

/// The example whose sample the host reads.
const SAMPLES: &str = "quickstart";

/// The folder of the project outside that the packages are unpacked in.
const PACKAGES: &str = "packages";

/// Packages, verifies, and builds the project outside.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let (published, others): (Vec<&Package>, Vec<&Package>) =
        workspace.metadata().packages.iter().partition(|package| package.is_published);
    let excluded = others.iter().flat_map(|package| ["--exclude", &package.name]);
    let step = workspace.metadata().target.join("xtask");
    let package = step.join("package");
    let outside = step.join("outside");
    for earlier in [&package, &outside] {
        if earlier.exists() {
            fs::remove_dir_all(earlier)?;
        }
    }
    // Uncommitted changes are checked too: a check must speak before the commit.
    let cargo = workspace.cargo(["package", "--workspace", "--no-verify", "--allow-dirty"]).args(excluded);
    cargo.args(["--target-dir"]).args([&package]).run()?;
    let packages = outside.join(PACKAGES);
    fs::create_dir_all(&packages)?;
    for Package { name, version, .. } in &published {
        let archive = package.join("package").join(format!("{name}-{version}.crate"));
        // Cargo gives all files of a package one old time. With a new one it compiles them again.
        let tar = workspace.program("tar").args(["-xmzf"]).args([&archive]).args(["-C"]).args([&packages]);
        tar.run()?;
    }

    for example in EXAMPLES.iter().chain([&SAMPLES]) {
        copy(&workspace.root().join("examples").join(example), &outside.join(example))?;
    }
    let root = fs::read_to_string(workspace.root().join("Cargo.toml"))?;
    fs::write(outside.join("Cargo.toml"), manifest(&root, &published))?;
    // The versions of the workspace, so that nothing else is fetched.
    fs::copy(workspace.root().join("Cargo.lock"), outside.join("Cargo.lock"))?;

    let call = |args: &[&str]| {
        let manifest = outside.join("Cargo.toml");
        workspace
            .cargo(args)
            .args(["--manifest-path"])
            .args([&manifest])
            .args(["--target-dir"])
            .args([&workspace.metadata().target])
    };
    call(&["check", "--workspace"]).run()?;
    call(&["test", "--package", "template_layer"]).run()?;
    let on_linux = published.iter().find(|package| package.name == other_systems::PACKAGE);
    let Package { name, version, .. } = on_linux.ok_or("there is no package with code for Linux")?;
    other_systems::check(&packages.join(format!("{name}-{version}")), call)?;
    semver::run(workspace, &published, skips)?;
    licenses(workspace, skips)
}

/// Licenses, sources and duplicate versions of the dependencies, and advisories if their database can be reached.
fn licenses(workspace: &Workspace, skips: &mut Skips) -> Result {
    if !workspace.cargo(["deny", "--version"]).succeeds() {
        skips.add(
            "licenses, sources and advisories of the dependencies",
            "cargo-deny is missing: `cargo install cargo-deny --locked`",
        );
        return Ok(());
    }
    workspace.cargo(["deny", "check", "licenses", "sources", "bans"]).run()?;
    if workspace.cargo(["deny", "fetch", "db"]).succeeds() {
        return workspace.cargo(["deny", "check", "--disable-fetch", "advisories"]).run();
    }
    skips.add("advisories about the dependencies", "the advisory database cannot be reached");
    Ok(())
}

/// Copies a folder. The manifest of the copy names versions instead of paths.
fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else if entry.file_name() == "Cargo.toml" {
            fs::write(to, without_paths(&fs::read_to_string(entry.path())?))?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// A manifest whose dependencies have no path. One that had nothing else may be of any version.
fn without_paths(manifest: &str) -> String {
    let mut out = String::new();
    for line in manifest.lines() {
        let Some((before, rest)) = line.split_once("path = \"").filter(|_| line.contains(" = {")) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let after = rest.split_once('"').map_or("", |(_, after)| after);
        let version = if after.contains("version = ") { "" } else { "version = \"*\"" };
        let after = if version.is_empty() { after.trim_start_matches([' ', ',']) } else { after };
        writeln!(out, "{before}{version}{after}").expect("a string takes any text");
    }
    out
}

/// The manifest of the project outside: the tables of the workspace that its members inherit from, its profiles, and the packages
/// instead of a registry's crates.
fn manifest(root: &str, published: &[&Package]) -> String {
    let mut out = String::from("[workspace]\nresolver = \"3\"\n");
    writeln!(out, "members = [\"{}\", \"{PACKAGES}/*\"]\n", EXAMPLES.join("\", \""))
        .expect("a string takes any text");
    let mut is_kept = false;
    for line in root.lines() {
        if line.starts_with('[') {
            is_kept = line.starts_with("[workspace.") || line.starts_with("[profile.");
        }
        // A member that is not published has a path only.
        if is_kept && (!line.contains("path = ") || line.contains("version = ")) {
            out.push_str(&without_paths(line));
        }
    }
    out.push_str("\n[patch.crates-io]\n");
    for Package { name, version, .. } in published {
        writeln!(out, "{name} = {{ path = \"{PACKAGES}/{name}-{version}\" }}")
            .expect("a string takes any text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_loses_its_path_and_keeps_the_rest() {
        let manifest = "[[bin]]\npath = \"main.rs\"\na = { path = \"../..\", features = [\"b\"] }\n\
                        c = { path = \"c\", version = \"0.1.0\" }\nd = \"1\"\n";
        let expected = "[[bin]]\npath = \"main.rs\"\na = { version = \"*\", features = [\"b\"] }\n\
                        c = { version = \"0.1.0\" }\nd = \"1\"\n";
        assert_eq!(without_paths(manifest), expected);
    }

    #[test]
    fn the_manifest_has_the_inherited_tables_the_profiles_and_the_packages() {
        let root = "[package]\nname = \"stream\"\n\n[workspace]\nmembers = [\"brook\"]\n\n[workspace.package]\nversion = \"1.2.3\"\n\n\
                    [workspace.dependencies]\nstream = { path = \".\", version = \"1.2.3\" }\nbrook = { path = \"brook\" }\n\n[profile.dev]\ndebug = 0\n";
        let package = Package {
            name: "stream".into(),
            version: "1.2.3".into(),
            is_published: true,
            ..Package::default()
        };
        let expected = "[workspace]\nresolver = \"3\"\nmembers = [\"catalog\", \"template_layer\", \"custom_backend\", \"packages/*\"]\n\n\
                        [workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\nstream = { version = \"1.2.3\" }\n\
                        [profile.dev]\ndebug = 0\n\n[patch.crates-io]\nstream = { path = \"packages/stream-1.2.3\" }\n";
        assert_eq!(manifest(root, &[&package]), expected);
    }
}
