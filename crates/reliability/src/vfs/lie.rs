//! Disks that report syncs without doing them.

/// The syncs that a disk only pretends to do. A durability test on such a disk must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lie {
    /// It syncs as requested.
    #[default]
    None,
    /// No sync is ever done, and every sync is reported as done.
    NoSync,
    /// Like `synchronous = NORMAL` under a connection with `FULL`: a commit does not sync the WAL. The header of a
    /// WAL is still synced, and so is the whole WAL before a page is written to the main file.
    NormalSync,
}
