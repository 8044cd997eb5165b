//! What it costs to write a reply piece by piece, each piece durable, in time and in bytes.
//!
//! Bytes are what the process writes, by the books of the kernel in `/proc/self/io`. The figures are of `wchar`, every
//! byte that is handed to a write: it is exact, and the same on every file system. `write_bytes` stands beside it as
//! `dirtied`: it counts whole pages of the cache, two for each frame of the log, which lies across them.
//!
//! One line a figure: `figure NAME VALUE UNIT`. `cargo bench -p throughline-benches --bench streaming [-- --rounds N]`. Linux only.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
#[path = "../kit/figures.rs"]
mod figures;
mod measured;
#[path = "../kit/stack.rs"]
mod stack;
mod turns;
mod written;

use std::error::Error;

use measured::Measured;
use turns::{Appends, Way, rewrite_raw, run};

type Failure = Box<dyn Error + Send + Sync>;

/// A piece is a few tokens.
const FEW: Appends = Appends { count: 1000, bytes: 32 };
const MANY: Appends = Appends { count: 2000, bytes: 32 };
/// What a commit costs by itself: as many as of the longer pieces, with next to nothing in them.
const ONE_BYTE: Appends = Appends { count: 1000, bytes: 1 };

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds = arguments::given("rounds")?.unwrap_or(5);
    let mut measured = Measured::default();
    for _ in 0..rounds {
        measured.one_byte.push(run(Way::Append, ONE_BYTE).await?);
        measured.few.push(run(Way::Append, FEW).await?);
        measured.rewrite.push(run(Way::Rewrite, FEW).await?);
        measured.raw_rewrite.push(rewrite_raw(FEW)?);
        measured.many.push(run(Way::Append, MANY).await?);
        measured.settled.push(run(Way::AppendAndFinish, FEW).await?);
        measured.patch.push(run(Way::Patch, ONE_BYTE).await?);
        measured.draft.push(run(Way::Draft, FEW).await?);
    }
    measured.report();
    Ok(())
}
