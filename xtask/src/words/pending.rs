//! The paths that still hold words of the vocabulary. All others must not.

use super::vocabulary::PAGE;

/// Folders, with a `/` at the end, and files. The list only gets shorter. Decisions are records of their day: they keep their words.
///
/// The others have names of a peer: methods and settings of the stores of LangGraph.
const PENDING: &[&str] = &[
    "crates/python/peers/langgraph/langgraph_store_plugin.py",
    "crates/python/python/throughline/adapters/langgraph/_store.py",
    "crates/python/python/throughline/adapters/langgraph/_sweeper.py",
    "crates/python/tests/test_langgraph_store.py",
    "docs/decisions/",
    "docs/guide/python-langgraph.md",
];

/// The files with the names of tests that are not of this repository.
const NAMES_OF_PEERS: &str = "/expectations.toml";

/// Whether a file must hold no word of the vocabulary. The page that lists the words is exempt.
pub(super) fn is_clean(path: &str) -> bool {
    let is_below =
        |pending: &str| if pending.ends_with('/') { path.starts_with(pending) } else { path == pending };
    path != PAGE && !path.ends_with(NAMES_OF_PEERS) && !PENDING.iter().any(|pending| is_below(pending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_clean_that_is_not_pending() {
        assert!(is_clean("xtask/src/main.rs"));
        assert!(is_clean("a/new/file.rs"));
        assert!(!is_clean("docs/decisions/0001-title.md"));
        assert!(is_clean("docs/decisions.md"));
        assert!(!is_clean(PAGE));
        assert!(!is_clean("crates/python/peers/a/expectations.toml"));
    }

    #[test]
    fn the_pending_paths_are_sorted_and_exist() {
        assert!(PENDING.is_sorted(), "{PENDING:?}");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is in a folder of the workspace");
        let missing: Vec<_> = PENDING.iter().filter(|path| !root.join(path).exists()).collect();
        assert_eq!(missing, [&""; 0], "these are gone: take them off the list");
    }
}
