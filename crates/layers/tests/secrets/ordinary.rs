//! Ordinary text and code: at most one false match in 100 KB.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use throughline_layers::redact::Redactor;

/// The bytes to read; the test prints the missing number.
const BYTES: usize = 20_000_000;
/// The bytes that every checkout has in its own sources and documents.
const OWN_BYTES: usize = 1_000_000;
/// The most bytes of each crate, so that no single one dominates.
const CRATE_BYTES: usize = 400_000;
const BYTES_FOR_EACH_HIT: usize = 100_000;

fn workspace() -> PathBuf {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut around = around.filter(|folder| folder.join("Cargo.lock").is_file());
    around.next().expect("the workspace has a lock file").to_owned()
}

/// Returns the first `shared/data` in a folder around the workspace.
fn transcripts() -> Option<PathBuf> {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    around.map(|folder| folder.join("shared/data")).find(|folder| folder.is_dir())
}

/// Returns the folders of the workspace's dependencies, as cargo reports them offline.
fn dependencies() -> BTreeSet<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(workspace().join("Cargo.toml"))
        .output();
    let metadata = output.ok().filter(|output| output.status.success());
    let metadata =
        metadata.and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok());
    let packages = metadata.as_ref().and_then(|metadata| metadata["packages"].as_array());
    let of_registry = |package: &&serde_json::Value| package["source"].is_string();
    let folder = |package: &serde_json::Value| {
        Path::new(package["manifest_path"].as_str()?).parent().map(Path::to_owned)
    };
    packages.into_iter().flatten().filter(of_registry).filter_map(folder).collect()
}

/// Returns every crate whose sources cargo has cached, also those of other workspaces.
fn registry() -> BTreeSet<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let folders = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    };
    home.into_iter().flat_map(|home| folders(home.join("registry/src"))).flat_map(folders).collect()
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["rs", "md", "toml", "json", "jsonl", "txt", "yml", "yaml", "c", "h", "sql", "py", "js", "html", "sh"]
        .contains(&extension)
}

/// Returns true for a path that is not text of the workspace, or that contains made-up secrets on purpose.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') || name == "target" || name.contains("redact") || name.contains("secret")
}

#[derive(Default)]
struct Corpus {
    texts: Vec<(PathBuf, String)>,
    bytes: usize,
}

impl Corpus {
    /// Adds the texts in a folder, in the order of their paths, up to `most` bytes.
    fn add(&mut self, folder: &Path, most: usize) {
        let before = self.bytes;
        let mut left = vec![folder.to_owned()];
        while let Some(path) = left.pop().filter(|_| self.bytes < before + most) {
            if path.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten();
                let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                paths.retain(|path| !is_left_out(path));
                paths.sort_by(|one, other| other.cmp(one));
                left.extend(paths);
            } else if is_text(&path)
                && let Ok(text) = fs::read_to_string(&path)
                // A single generated file would dominate.
                && text.len() < 2_000_000
            {
                self.bytes += text.len();
                self.texts.push((path, text));
            }
        }
    }
}

#[test]
fn ordinary_text_and_code_have_few_false_matches() {
    let mut corpus = Corpus::default();
    corpus.add(&workspace(), BYTES / 4);
    assert!(corpus.bytes >= OWN_BYTES, "the workspace has {} bytes of text", corpus.bytes);
    match transcripts() {
        Some(folder) => corpus.add(&folder, BYTES / 2),
        None => println!("SKIPPED: false hits in transcripts (no folder shared/data around the workspace)"),
    }
    for folder in dependencies().into_iter().chain(registry()).collect::<BTreeSet<_>>() {
        if corpus.bytes < BYTES {
            corpus.add(&folder, CRATE_BYTES);
        }
    }
    if corpus.bytes < BYTES {
        let missing = BYTES - corpus.bytes;
        println!("SKIPPED: false hits in {missing} of {BYTES} bytes (cargo keeps too few sources of crates)");
    }
    let (redactor, mut hits, mut shown) = (Redactor::secrets(), 0, String::new());
    for (path, text) in &corpus.texts {
        let Some((stored, found)) = redactor.redact(text) else { continue };
        hits += usize::try_from(found.total()).unwrap();
        let line = text.lines().zip(stored.lines()).find(|(before, after)| before != after);
        let before = line.map_or("", |(before, _)| before);
        let end = before.char_indices().map(|(at, _)| at).nth(160).unwrap_or(before.len());
        shown.push_str(&format!("{found} in {}: {}\n", path.display(), before[..end].trim()));
    }
    println!("{shown}{hits} hits in {} bytes of {} files", corpus.bytes, corpus.texts.len());
    assert!(hits <= corpus.bytes / BYTES_FOR_EACH_HIT, "{hits} hits in {} bytes:\n{shown}", corpus.bytes);
}
