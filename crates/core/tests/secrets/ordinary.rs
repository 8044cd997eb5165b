//! Ordinary text and code: at most one secret is seen in 100 KB.

use std::{
    fs,
    path::{Path, PathBuf},
};

use throughline_core::layers::redact::Redactor;

/// So much is read.
const BYTES: usize = 20_000_000;
const BYTES_FOR_EACH_HIT: usize = 100_000;

/// The first `shared/data` in a folder around the workspace.
fn transcripts() -> Option<PathBuf> {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    around.map(|folder| folder.join("shared/data")).find(|folder| folder.is_dir())
}

/// Where cargo keeps the sources of crates.
fn sources() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("registry/src")).filter(|folder| folder.is_dir())
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["rs", "md", "toml", "json", "jsonl", "txt", "yml", "yaml", "c", "h", "sql", "py", "js", "html", "sh"]
        .contains(&extension)
}

/// The texts in a folder, in the order of their paths, until there are `bytes` of them.
fn texts(folder: &Path, bytes: &mut usize, texts: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if *bytes == 0 {
            return;
        }
        if path.is_dir() {
            self::texts(&path, bytes, texts);
        } else if is_text(&path)
            && let Ok(text) = fs::read_to_string(&path)
            // A single generated file says little.
            && text.len() < 2_000_000
        {
            *bytes = bytes.saturating_sub(text.len());
            texts.push((path, text));
        }
    }
}

#[test]
fn ordinary_text_and_code_hold_hardly_a_secret() {
    let (mut left, mut all) = (BYTES, Vec::new());
    match transcripts() {
        Some(folder) => texts(&folder, &mut left, &mut all),
        None => println!("SKIPPED: transcripts (no folder shared/data around the workspace)"),
    }
    match sources() {
        // Of each crate a part, so that no single one decides.
        Some(folder) => {
            let registries = fs::read_dir(folder).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
            let mut crates: Vec<PathBuf> = registries
                .flat_map(|registry| fs::read_dir(registry).into_iter().flatten())
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            crates.sort();
            for folder in crates {
                let mut share = left.min(400_000);
                let before = share;
                texts(&folder, &mut share, &mut all);
                left = left.saturating_sub(before - share);
            }
        }
        None => println!("SKIPPED: sources of crates (no registry of cargo)"),
    }
    let bytes: usize = all.iter().map(|(_, text)| text.len()).sum();
    if bytes < BYTES_FOR_EACH_HIT {
        println!("SKIPPED: false hits in ordinary text (no text is there)");
        return;
    }
    let (redactor, mut hits, mut shown) = (Redactor::secrets(), 0, String::new());
    for (path, text) in &all {
        let Some((stored, found)) = redactor.redact(text) else { continue };
        hits += usize::try_from(found.total()).unwrap();
        let line = text.lines().zip(stored.lines()).find(|(before, after)| before != after);
        let before = line.map_or("", |(before, _)| before);
        let end = before.char_indices().map(|(at, _)| at).nth(160).unwrap_or(before.len());
        shown.push_str(&format!("{found} in {}: {}\n", path.display(), before[..end].trim()));
    }
    println!("{shown}{hits} hits in {bytes} bytes of {} files", all.len());
    assert!(hits <= bytes / BYTES_FOR_EACH_HIT, "{hits} hits in {bytes} bytes:\n{shown}");
}
