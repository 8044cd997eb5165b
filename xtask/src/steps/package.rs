//! `package`: what a registry would get compiles, and a project outside of this workspace builds a host, a layer and a backend on it.
//!
//! Cargo compiles each published crate from its package. The project outside consists of copies of three examples; its manifest
//! replaces the crates of this workspace with the unpacked packages, so that no file of the workspace is used. Then the public
//! API is compared with the latest release, and the dependencies are checked.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::semver;
use crate::Result;
use crate::metadata::Package;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The examples that the project outside consists of: a host, a layer with its laws, and a backend with its conformance checks.
const EXAMPLES: [&str; 3] = ["catalog", "template_layer", "custom_backend"];

/// The example whose sample the host reads.
const SAMPLES: &str = "quickstart";

/// Packages, verifies, and builds the project outside.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let (published, others): (Vec<&Package>, Vec<&Package>) =
        workspace.metadata().packages.iter().partition(|package| package.is_published);
    let excluded = others.iter().flat_map(|package| ["--exclude", &package.name]);
    if let Some(home) =
        env::var_os("CARGO_HOME").map(Into::into).or_else(|| Some(env::home_dir()?.join(".cargo")))
    {
        remove_unpacked(&home, &published)?;
    }
    let target = workspace.metadata().target.join("xtask").join("package");
    let outside = workspace.metadata().target.join("xtask").join("outside");
    for earlier in [&target, &outside] {
        if earlier.exists() {
            fs::remove_dir_all(earlier)?;
        }
    }
    // Uncommitted changes are checked too: a check must speak before the commit.
    let package = workspace.cargo(["package", "--workspace", "--allow-dirty"]).args(excluded);
    package.args(["--target-dir"]).args([&target]).run()?;

    for example in EXAMPLES.iter().chain([&SAMPLES]) {
        copy(&workspace.root().join("examples").join(example), &outside.join(example))?;
    }
    let root = fs::read_to_string(workspace.root().join("Cargo.toml"))?;
    fs::write(outside.join("Cargo.toml"), manifest(&root, &published, &target.join("package")))?;
    // The versions of the workspace, so that nothing else is fetched.
    fs::copy(workspace.root().join("Cargo.lock"), outside.join("Cargo.lock"))?;

    let call = |args: &[&str]| {
        let manifest = outside.join("Cargo.toml");
        workspace
            .cargo(args)
            .args(["--manifest-path"])
            .args([&manifest])
            .args(["--target-dir"])
            .args([&target])
    };
    call(&["build", "--workspace"]).run()?;
    call(&["test", "--package", "template_layer"]).run()?;
    semver::run(workspace, &published, skips)?;
    licenses(workspace, skips)
}

/// Removes the unpacked packages of an earlier run. Cargo verifies a package against the others through a registry in a folder. It
/// unpacks and compiles a version of a registry only once, but an unreleased version changes with every commit. For the same
/// reason, the step has a target folder of its own.
fn remove_unpacked(cargo_home: &Path, published: &[&Package]) -> Result {
    let Ok(registries) = fs::read_dir(cargo_home.join("registry").join("src")) else { return Ok(()) };
    for registry in registries {
        let registry = registry?;
        // The name of a registry is its host and a hash. One in a folder has no host.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for Package { name, version, .. } in published {
            let unpacked = registry.path().join(format!("{name}-{version}"));
            if unpacked.exists() {
                fs::remove_dir_all(unpacked)?;
            }
        }
    }
    Ok(())
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

/// The manifest of the project outside: the tables of the workspace that its members inherit from, and the packages instead of a
/// registry's crates.
fn manifest(root: &str, published: &[&Package], packages: &Path) -> String {
    let mut out = String::from("[workspace]\nresolver = \"3\"\n");
    writeln!(out, "members = {EXAMPLES:?}\n").expect("a string takes any text");
    let mut is_inherited = false;
    for line in root.lines() {
        if line.starts_with('[') {
            is_inherited = line.starts_with("[workspace.");
        }
        // A member that is not published has a path only.
        if is_inherited && (!line.contains("path = ") || line.contains("version = ")) {
            out.push_str(&without_paths(line));
        }
    }
    out.push_str("\n[patch.crates-io]\n");
    for Package { name, version, .. } in published {
        let path = packages.join(format!("{name}-{version}"));
        writeln!(out, "{name} = {{ path = {path:?} }}").expect("a string takes any text");
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
    fn only_unpacked_packages_of_a_registry_in_a_folder_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let src = home.path().join("registry/src");
        let package = Package { name: "stream".into(), version: "1.2.3".into(), ..Package::default() };
        let folders = ["-0a/stream-1.2.3", "-0a/stream-1.2.4", "-0a/brook-1.2.3", "host-0a/stream-1.2.3"];
        for folder in folders {
            fs::create_dir_all(src.join(folder)).unwrap();
        }
        remove_unpacked(home.path(), &[&package]).unwrap();
        let left: Vec<_> = folders.into_iter().filter(|folder| src.join(folder).exists()).collect();
        assert_eq!(left, folders[1..]);
        remove_unpacked(&home.path().join("none"), &[&package]).unwrap();
    }

    #[test]
    fn the_manifest_has_the_inherited_tables_and_the_packages() {
        let root = "[package]\nname = \"stream\"\n\n[workspace]\nmembers = [\"brook\"]\n\n[workspace.package]\nversion = \"1.2.3\"\n\n\
                    [workspace.dependencies]\nstream = { path = \".\", version = \"1.2.3\" }\nbrook = { path = \"brook\" }\n\n[profile.dev]\ndebug = 0\n";
        let package = Package {
            name: "stream".into(),
            version: "1.2.3".into(),
            is_published: true,
            ..Package::default()
        };
        let expected = "[workspace]\nresolver = \"3\"\nmembers = [\"catalog\", \"template_layer\", \"custom_backend\"]\n\n\
                        [workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\nstream = { version = \"1.2.3\" }\n\n\
                        [patch.crates-io]\nstream = { path = \"/p/stream-1.2.3\" }\n";
        assert_eq!(manifest(root, &[&package], Path::new("/p")), expected);
    }
}
