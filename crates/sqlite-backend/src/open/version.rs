//! The SQLite versions that the store accepts.

/// Returns whether a version of SQLite, as `sqlite3_libversion_number` returns it, is free of the bug that can corrupt
/// a database in WAL mode when the WAL is reset. 3.51.3 fixed it, and on older branches 3.50.7 and 3.44.6. 3.52.0 was
/// withdrawn.
pub(super) const fn is_safe(version: i32) -> bool {
    match version {
        3_052_000 => false,
        3_051_003.. => true,
        3_050_007..3_051_000 | 3_044_006..3_045_000 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_versions_with_the_wal_reset_bug_are_refused() {
        for (version, safe) in [
            (3_040_001, false),
            (3_044_005, false),
            (3_044_006, true),
            (3_044_099, true),
            (3_045_000, false),
            (3_050_006, false),
            (3_050_007, true),
            (3_051_000, false),
            (3_051_002, false),
            (3_051_003, true),
            (3_052_000, false),
            (3_052_001, true),
            (3_053_000, true),
        ] {
            assert_eq!(is_safe(version), safe, "{version}");
        }
    }

    #[test]
    fn the_linked_library_is_safe() {
        assert!(is_safe(rusqlite::version_number()), "{}", rusqlite::version());
    }
}
