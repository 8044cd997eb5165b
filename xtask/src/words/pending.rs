//! The paths that still hold words of the vocabulary. All others must not.

use super::vocabulary::PAGE;

/// Folders, with a `/` at the end, and files. The list only gets shorter. Decisions are records of their day: they keep their words.
const PENDING: &[&str] = &[
    "crates/conformance/",
    "crates/core/Cargo.toml",
    "crates/core/src/backend/following.rs",
    "crates/core/src/backend/mod.rs",
    "crates/core/src/backend/queued_size.rs",
    "crates/core/src/backend/search/mod.rs",
    "crates/core/src/backend/sessions/begin.rs",
    "crates/core/src/backend/sessions/decide.rs",
    "crates/core/src/backend/sessions/effective_state.rs",
    "crates/core/src/change/mod.rs",
    "crates/core/src/handle/builder.rs",
    "crates/core/src/handle/changes.rs",
    "crates/core/src/handle/consumer.rs",
    "crates/core/src/handle/draft/attempt.rs",
    "crates/core/src/handle/family_request.rs",
    "crates/core/src/handle/fork.rs",
    "crates/core/src/handle/history.rs",
    "crates/core/src/handle/mod.rs",
    "crates/core/src/handle/persistence.rs",
    "crates/core/src/handle/prune.rs",
    "crates/core/src/handle/recovery.rs",
    "crates/core/src/handle/replica.rs",
    "crates/core/src/handle/request.rs",
    "crates/core/src/handle/session.rs",
    "crates/core/src/handle/session_run/",
    "crates/core/src/handle/turn.rs",
    "crates/core/src/handle/walk.rs",
    "crates/core/src/operation/bytes.rs",
    "crates/core/src/operation/mod.rs",
    "crates/core/src/operation/replica/image.rs",
    "crates/core/src/operation/stored/session_record.rs",
    "crates/core/src/pipeline/core.rs",
    "crates/core/src/pipeline/description.rs",
    "crates/core/src/pipeline/mod.rs",
    "crates/core/src/pipeline/order.rs",
    "crates/core/src/pipeline/phase.rs",
    "crates/core/tests/blocked_thread.rs",
    "crates/core/tests/compile_fail/layer_with_wrong_response.rs",
    "crates/engine/src/ordered/changes.rs",
    "crates/layers/src/audit/report.rs",
    "crates/layers/src/chaos/layer.rs",
    "crates/layers/src/encrypt/chunks.rs",
    "crates/layers/src/encrypt/shred.rs",
    "crates/layers/src/encrypt/thread_keys/file.rs",
    "crates/layers/src/encrypt/thread_keys/mod.rs",
    "crates/layers/src/transform/open_message.rs",
    "crates/layers/src/transform/write.rs",
    "docs/decisions/",
    "docs/guide/writing-a-backend.md",
    "docs/laws.md",
    "examples/custom_backend/main.rs",
    "tests/conformance_memory.rs",
    "tests/conformance_postgres.rs",
    "tests/conformance_sqlite.rs",
    "tests/layers/encrypt/same_reads.rs",
    "tests/layers/transform/mod.rs",
    "tests/layers/transform/tenants.rs",
    "tests/pipeline/attempts.rs",
    "tests/pipeline/describe.rs",
];

/// Whether a file must hold no word of the vocabulary. The page that lists the words is exempt.
pub(super) fn is_clean(path: &str) -> bool {
    let is_below =
        |pending: &str| if pending.ends_with('/') { path.starts_with(pending) } else { path == pending };
    path != PAGE && !PENDING.iter().any(|pending| is_below(pending))
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
