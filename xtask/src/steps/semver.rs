//! The public API against the latest release, by `cargo semver-checks`.
//!
//! The baseline is the tag of the latest release in the history of this commit. Before the first release there is none.

use crate::Result;
use crate::metadata::Package;
use crate::skips::Skips;
use crate::workspace::Workspace;

const CHECK: &str = "the public API against the latest release";

/// Compares each published crate that the latest release has. A change needs a version as high as its effect on the API.
pub(super) fn run(workspace: &Workspace, published: &[&Package], skips: &mut Skips) -> Result {
    let tags = workspace.program("git").args(["tag", "--list", "v*", "--merged", "HEAD"]).capture()?;
    let Some(tag) = latest(&tags) else {
        skips.add(CHECK, "the history has no tag of a release: `git fetch --tags`, if there is one");
        return Ok(());
    };
    if !workspace.cargo(["semver-checks", "--version"]).succeeds() {
        skips.add(CHECK, "cargo-semver-checks is missing: `cargo install cargo-semver-checks --locked`");
        return Ok(());
    }
    let in_baseline = |package: &&&Package| {
        let manifest = format!("{tag}:{}Cargo.toml", workspace.folder(package));
        workspace.program("git").args(["cat-file", "-e", &manifest]).succeeds()
    };
    let names = published.iter().filter(in_baseline).map(|package| package.name.as_str());
    workspace.cargo(arguments(tag, names)).run()
}

/// The tag of the highest version, `v1.2.3`. Versions before a release, such as `v1.2.3-rc.1`, are none.
fn latest(tags: &str) -> Option<&str> {
    let version = |tag: &str| -> Option<[u64; 3]> {
        let parts = tag.strip_prefix('v')?.split('.').map(|part| part.parse().ok());
        parts.collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    tags.lines().filter(|tag| version(tag).is_some()).max_by_key(|tag| version(tag))
}

fn arguments<'a>(tag: &'a str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["semver-checks", "--baseline-rev", tag, "--all-features"];
    arguments.extend(names.flat_map(|name| ["--package", name]));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_highest_version_and_no_other_tag() {
        assert_eq!(latest("v0.10.0\nv0.2.0\nv0.9.9\nvisit\nv0.11.0-rc.1\nv1.0\n"), Some("v0.10.0"));
        assert_eq!(latest("version\n"), None);
        assert_eq!(latest(""), None);
    }

    #[test]
    fn each_crate_of_the_baseline_is_compared() {
        let expected = [
            "semver-checks",
            "--baseline-rev",
            "v0.1.0",
            "--all-features",
            "--package",
            "a",
            "--package",
            "b",
        ];
        assert_eq!(arguments("v0.1.0", ["a", "b"].into_iter()), expected);
    }
}
