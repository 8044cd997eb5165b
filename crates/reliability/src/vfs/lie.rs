//! Disks that are not what they say.

/// What a disk claims to have done. A store that keeps its promises on a liar is not tested for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lie {
    /// It tells the truth.
    #[default]
    None,
    /// Nothing is ever brought to the disk, and every call that asks for it is answered as if it were.
    NoSync,
    /// What `synchronous = NORMAL` does, under a connection that asks for `FULL`: a commit does not bring the log to the
    /// disk. The beginning of a log still is, and so is all of it before a page of it is written to the main file.
    NormalSync,
}
