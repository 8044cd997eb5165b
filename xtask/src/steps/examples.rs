//! `examples`: every example runs and ends well, in a fresh folder and without input; the quickstart also on real transcripts,
//! where those are.
//!
//! An example is one of the root package, or a package in the folder `examples`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::postgres;
use crate::Result;
use crate::metadata::Metadata;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// An example is small; one that takes this long hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The example that also reads transcripts.
const QUICKSTART: &str = "quickstart";

/// The arguments with which an example ends by itself.
fn arguments(example: &str) -> &'static [&'static str] {
    match example {
        // A server, which would run until Ctrl-C.
        "serve" => &["--check"],
        _ => &[],
    }
}

/// Transcripts of real conversations, in a folder next to the workspace. They are not part of it, so they can be absent.
const TRANSCRIPTS: &str = "../shared/data";

/// An example, built.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    name: String,
    executable: PathBuf,
}

/// Builds them all, runs them all.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let examples = build(workspace)?;
    if let Err(why) = postgres::installation(workspace) {
        skips.add("the example many_hosts", why.to_string());
    }
    for example in &examples {
        let args: Vec<PathBuf> = arguments(&example.name).iter().map(PathBuf::from).collect();
        start(workspace, example, &example.name, &args)?;
    }
    real_transcripts(workspace, &examples, skips)
}

/// Builds all of them. The quickstart as the README does: optimized, with the default features. The others in the
/// profile and with the features for which the tests have compiled all dependencies; a long run of the step `features`
/// checks each by itself.
fn build(workspace: &Workspace) -> Result<Vec<Example>> {
    let metadata = workspace.metadata();
    let declared = declared(metadata)?;
    let root = &metadata.root_package()?.name;
    let mut examples =
        built(workspace.cargo(["build", "--release", "--package", root, "--example", QUICKSTART]))?;
    let programs =
        built(workspace.cargo(["build", "--workspace", "--all-features", "--bins", "--examples"]))?;
    for program in programs {
        if declared.contains(&&*program.name) && !examples.iter().any(|example| example.name == program.name)
        {
            examples.push(program);
        }
    }
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    let missing = not_built(&declared, &examples);
    if missing.is_empty() {
        return Ok(examples);
    }
    let missing = missing.join(", ");
    Err(format!("not built: {missing} (cargo leaves out what requires features that are off by default)")
        .into())
}

/// Returns the examples that a build announces.
fn built(build: Process) -> Result<Vec<Example>> {
    build.show();
    let messages = build.args(["--message-format=json-render-diagnostics"]).capture()?;
    Ok(messages.lines().filter_map(built_example).collect())
}

/// The names of the examples in the manifests: those of the root package, and the programs of the packages below `examples`.
fn declared(metadata: &Metadata) -> Result<Vec<&str>> {
    let folder = metadata.root.join("examples");
    let mut names = metadata.root_package()?.targets_of("example");
    for package in metadata.packages.iter().filter(|package| package.manifest.starts_with(&folder)) {
        names.extend(package.targets_of("bin"));
        names.extend(package.targets_of("example"));
    }
    Ok(names)
}

fn not_built<'a>(declared: &[&'a str], built: &[Example]) -> Vec<&'a str> {
    let is_built = |name: &str| built.iter().any(|example| example.name == name);
    declared.iter().copied().filter(|name| !is_built(name)).collect()
}

/// The example that a message of cargo announces, if it does.
fn built_example(message: &str) -> Option<Example> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_example =
        target.get("kind")?.as_array()?.iter().any(|kind| ["bin", "example"].iter().any(|of| kind == of));
    let name = target.get("name")?.as_str()?.to_owned();
    let executable = message.get("executable")?.as_str()?.into();
    is_example.then_some(Example { name, executable })
}

fn find<'a>(examples: &'a [Example], name: &str) -> Result<&'a Example> {
    let found = examples.iter().find(|example| example.name == name);
    found.ok_or_else(|| format!("there is no example `{name}`").into())
}

/// Runs it in a folder of its own, which stays there after the run.
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
    fn an_example_that_cargo_left_out_is_named() {
        let json = r#"{
            "packages": [
                {"name": "throughline", "version": "0.1.0", "manifest_path": "/w/Cargo.toml", "features": {}, "targets": [
                    {"name": "throughline", "kind": ["lib"]}, {"name": "redact", "kind": ["example"]},
                    {"name": "needs_postgres", "kind": ["example"]}]},
                {"name": "stack", "version": "0.1.0", "manifest_path": "/w/examples/stack/Cargo.toml", "features": {}, "targets": [
                    {"name": "stack", "kind": ["bin"]}]},
                {"name": "xtask", "version": "0.1.0", "manifest_path": "/w/xtask/Cargo.toml", "features": {}, "targets": [
                    {"name": "xtask", "kind": ["bin"]}]}
            ],
            "workspace_root": "/w", "target_directory": "/t"
        }"#;
        let metadata = Metadata::parse(json).expect("good metadata");
        let declared = declared(&metadata).expect("a root package");
        assert_eq!(declared, ["needs_postgres", "redact", "stack"]);
        let example = |name: &str| Example { name: name.into(), executable: format!("/t/{name}").into() };
        assert_eq!(not_built(&declared, &[example("redact"), example("stack")]), ["needs_postgres"]);
        assert!(
            not_built(&declared, &declared.iter().map(|name| example(name)).collect::<Vec<_>>()).is_empty()
        );
    }

    #[test]
    fn only_examples_are_taken_from_the_messages_of_a_build() {
        let example =
            r#"{"reason":"compiler-artifact","target":{"name":"a","kind":["example"]},"executable":"/t/a"}"#;
        let expected = |name: &str| Example { name: name.into(), executable: format!("/t/{name}").into() };
        assert_eq!(built_example(example), Some(expected("a")));
        let package =
            r#"{"reason":"compiler-artifact","target":{"name":"b","kind":["bin"]},"executable":"/t/b"}"#;
        assert_eq!(built_example(package), Some(expected("b")));
        let others = [
            r#"{"reason":"compiler-artifact","target":{"name":"c","kind":["lib"]},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ];
        for other in others {
            assert_eq!(built_example(other), None, "{other}");
        }
    }
}
