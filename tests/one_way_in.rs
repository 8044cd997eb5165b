//! Law 1: only the pipeline can reach a backend. Tests in the core crate show that other ways do not compile.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each of the two constructors on the way to a backend has one caller, inside the pipeline.
#[test]
fn admitted_calls_and_terminals_are_each_created_in_one_file() {
    let sources = rust_sources(&workspace().join("crates"));
    assert!(sources.len() > 50, "the sources were not found");
    for (call, allowed) in [
        ("Admitted::new(", "crates/core/src/pipeline/terminal.rs"),
        ("Terminal::new(", "crates/core/src/handle/builder.rs"),
    ] {
        let callers: Vec<String> = sources
            .iter()
            .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(call)))
            .map(|path| path.strip_prefix(workspace()).unwrap().display().to_string())
            .collect();
        assert_eq!(callers, [allowed], "{call}");
    }
}

/// No backend implements `Clone`, so none can belong to a second pipeline.
#[test]
fn no_backend_implements_clone() {
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
            // Skip the programs that must not compile.
        } else if path.is_dir() {
            found.extend(rust_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
