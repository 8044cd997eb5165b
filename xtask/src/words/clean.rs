//! The paths that hold no word of the vocabulary, and must not.

use super::vocabulary::PAGE;

/// Folders, with a `/` at the end, and files.
const CLEAN: &[&str] = &[
    ".cargo/",
    ".config/",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "examples/redact.rs",
    "examples/template_layer/layer.rs",
    "deny.toml",
    "docs/releases.md",
    "rustfmt.toml",
    "src/",
    "xtask/",
];

/// Files below them that use a name of another member, and have to wait until that name has changed.
const PENDING: &[&str] = &["xtask/src/steps/postgres.rs"];

/// Whether a file must hold no word of the vocabulary. The page that lists the words is none.
pub(super) fn is_clean(path: &str) -> bool {
    let is_below = |clean: &str| if clean.ends_with('/') { path.starts_with(clean) } else { path == clean };
    path != PAGE && !PENDING.contains(&path) && CLEAN.iter().any(|clean| is_below(clean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_are_clean_and_the_glossary_is_not_checked() {
        assert!(is_clean("xtask/src/main.rs"));
        assert!(is_clean("examples/redact.rs"));
        assert!(!is_clean("examples/redact.rs.md"));
        assert!(!is_clean(PENDING[0]));
        assert!(!is_clean("xtask2/src/main.rs"));
        assert!(!is_clean(PAGE));
    }
}
