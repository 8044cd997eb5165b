//! `examples`: every example of the root package runs and ends well, in a fresh folder and without input; the
//! quickstart also on real transcripts, where those are.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::postgres;
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// An example is small; one that takes this long hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The example that also reads transcripts.
const QUICKSTART: &str = "quickstart";

/// Transcripts of real conversations, beside the workspace: not part of it, so they can be absent.
const TRANSCRIPTS: &str = "../shared/data";

/// An example, built.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    name: String,
    executable: PathBuf,
}

/// Builds them all, runs them all.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let package = workspace.metadata().root_package()?;
    let wanted = package.targets_of("example");
    if wanted.is_empty() {
        skips.add("examples", format!("{} has none", package.name));
        return Ok(());
    }
    let examples = build(workspace, &package.name)?;
    if let Err(why) = postgres::installation(workspace) {
        skips.add("the example many_hosts", why.to_string());
    }
    for name in &wanted {
        let example = find(&examples, name)?;
        start(workspace, example, name, &[])?;
    }
    template(workspace)?;
    real_transcripts(workspace, &examples, skips)
}

/// The folder of the example that is there to be copied.
const TEMPLATE: &str = "examples/template_layer";

/// Copies the template out of the workspace, says in the copy where the workspace is, and runs its tests there.
fn template(workspace: &Workspace) -> Result {
    let (root, target) = (workspace.root(), &workspace.metadata().target);
    let copy = target.join("xtask").join("template_layer");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    fs::create_dir_all(&copy)?;
    copy_files(&root.join(TEMPLATE), &copy)?;
    let manifest = copy.join("Cargo.toml");
    fs::write(&manifest, found_at(&fs::read_to_string(&manifest)?, root))?;
    // The versions of the workspace, so that nothing else is fetched.
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    let test = workspace.cargo(["test", "--manifest-path"]).args([&manifest]);
    test.args(["--target-dir"]).args([&target.join("template_layer")]).run()
}

/// Copies the files of a folder, and none of its folders: `target` is one once the template was tested where it stands.
fn copy_files(from: &Path, to: &Path) -> Result {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The manifest with the paths that a copy needs.
fn found_at(manifest: &str, root: &Path) -> String {
    manifest.replace("path = \"../..", &format!("path = \"{}", root.display()))
}

/// Release, because that is how somebody who measures would run them.
fn build(workspace: &Workspace, package: &str) -> Result<Vec<Example>> {
    let args = ["build", "--release", "--examples", "--all-features", "--package", package];
    let build = workspace.cargo(args);
    build.show();
    let messages = build.args(["--message-format=json-render-diagnostics"]).capture()?;
    Ok(messages.lines().filter_map(built_example).collect())
}

/// The example that a message of cargo announces, if it does.
fn built_example(message: &str) -> Option<Example> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_example = target.get("kind")?.as_array()?.iter().any(|kind| kind == "example");
    let name = target.get("name")?.as_str()?.to_owned();
    let executable = message.get("executable")?.as_str()?.into();
    is_example.then_some(Example { name, executable })
}

fn find<'a>(examples: &'a [Example], name: &str) -> Result<&'a Example> {
    let found = examples.iter().find(|example| example.name == name);
    found.ok_or_else(|| format!("there is no example `{name}`").into())
}

/// Runs it in a folder of its own, which stays behind for whoever wants to look.
fn start(workspace: &Workspace, example: &Example, folder: &str, args: &[PathBuf]) -> Result {
    let folder = workspace.metadata().target.join("xtask").join("examples").join(folder);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Process::new(&example.executable, &folder).args(args).limit(LIMIT).run()
}

fn real_transcripts(workspace: &Workspace, examples: &[Example], skips: &mut Skips) -> Result {
    let Ok(data) = workspace.root().join(TRANSCRIPTS).canonicalize() else {
        skips.add("quickstart on real transcripts", format!("{TRANSCRIPTS} is absent"));
        return Ok(());
    };
    let quickstart = find(examples, QUICKSTART)?;
    start(workspace, quickstart, "quickstart-transcripts", &transcripts(&data)?)
}

/// One set of chats, and the sessions of a coding agent. The folder is there, so what is missing is an error.
fn transcripts(data: &Path) -> Result<Vec<PathBuf>> {
    let mut sessions = Vec::new();
    let folder = data.join("claude-code");
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("jsonl")) {
            sessions.push(path);
        }
    }
    sessions.sort();
    let chats = data.join("sharegpt").join("sample.jsonl");
    if sessions.is_empty() || !chats.is_file() {
        return Err(format!("{} lacks its transcripts", data.display()).into());
    }
    sessions.insert(0, chats);
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_template_finds_both_crates() {
        let manifest = include_str!("../../../examples/template_layer/Cargo.toml");
        let copied = found_at(manifest, Path::new("/w"));
        assert!(copied.contains(r#"throughline = { path = "/w","#), "{copied}");
        assert!(
            copied.contains(r#"throughline-conformance = { path = "/w/crates/conformance" }"#),
            "{copied}"
        );
        assert!(!copied.contains(".."), "{copied}");
    }

    #[test]
    fn a_template_that_was_tested_where_it_stands_is_copied_without_its_target() {
        let folder = std::env::temp_dir().join(format!("xtask-template-{}", std::process::id()));
        let [from, to] = ["from", "to"].map(|name| folder.join(name));
        fs::create_dir_all(from.join("target")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("lib.rs"), "x").unwrap();
        copy_files(&from, &to).unwrap();
        let copied: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(copied, ["lib.rs"]);
    }

    #[test]
    fn only_examples_are_taken_from_the_messages_of_a_build() {
        let example =
            r#"{"reason":"compiler-artifact","target":{"name":"a","kind":["example"]},"executable":"/t/a"}"#;
        let expected = Example { name: "a".into(), executable: "/t/a".into() };
        assert_eq!(built_example(example), Some(expected));
        let others = [
            r#"{"reason":"compiler-artifact","target":{"name":"b","kind":["bin"]},"executable":"/t/b"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"c","kind":["lib"]},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ];
        for other in others {
            assert_eq!(built_example(other), None, "{other}");
        }
    }
}
