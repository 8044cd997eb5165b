//! Large contents in files next to the store.
//!
//! A content above the threshold is in a file of the folder `NAME-blobs`, whose name is the BLAKE3 hash of its bytes. The row of
//! its message has a reference in place of the content. The rows are the truth: an index finds the references to a hash.
//!
//! - The file is written and synced before the transaction that names it, on a thread of its own where that is possible.
//! - A transaction that names a file looks whether it is there, while it holds the write lock.
//! - A file is removed only while the write lock is held, when no row names it, and when no open snapshot of any process names
//!   it: after a checkpoint that left no page in the WAL, every snapshot is at least as new as that.
//! - The index alone condemns only a file whose reference this process has removed. Before a file that a search has found is removed,
//!   every row was read: an index can be damaged, and is rebuilt from the rows. A backup reads the rows and the index for the same
//!   reason.
//!
//! So a file may exist without a row, but no row ever names a file that is missing.

mod collector;
mod copy;
mod folder;
mod large;
mod reference;
mod writer;

pub(crate) use self::{
    collector::{Collector, References},
    copy::copy,
    folder::{BlobFault, BlobFolder, FOLDER_SUFFIX},
    large::large_contents,
    reference::{BlobRef, StoredContent},
    writer::BlobWriter,
};
