//! Law 1: a backend is reachable through the pipeline and no other way. That the ways round do not compile is tested beside
//! the types, in the core.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The two constructors on the way to a backend are called at one place each, inside the pipeline.
#[test]
fn tickets_and_terminals_are_made_at_one_place() {
    let sources = rust_sources(&workspace().join("crates"));
    assert!(sources.len() > 50, "the sources were not found");
    for (call, only) in [
        ("Admitted::new(", "crates/core/src/pipeline/terminal.rs"),
        ("Terminal::new(", "crates/core/src/handle/builder.rs"),
    ] {
        let callers: Vec<String> = sources
            .iter()
            .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(call)))
            .map(|path| path.strip_prefix(workspace()).unwrap().display().to_string())
            .collect();
        assert_eq!(callers, [only], "{call}");
    }
}

/// No backend can be cloned into a second pipeline.
#[test]
fn backends_are_not_clone() {
    for path in rust_sources(&workspace().join("crates")) {
        let text = fs::read_to_string(&path).unwrap();
        let mut derives_clone = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[derive(") {
                derives_clone = line.contains("Clone");
            } else if line.starts_with("pub struct")
                && line.contains("Backend")
                && !line.contains("NoBackend")
            {
                assert!(!derives_clone, "{}: {line}", path.display());
            } else if !line.starts_with("#[") && !line.starts_with("///") {
                derives_clone = false;
            }
            let implements =
                line.starts_with("impl") && line.contains(" Clone for ") && line.contains("Backend");
            assert!(!implements, "{}: {line}", path.display());
        }
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a folder of the workspace")
}

fn rust_sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("compile_fail") {
            // What must not compile.
        } else if path.is_dir() {
            found.extend(rust_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
