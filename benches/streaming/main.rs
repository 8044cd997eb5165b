//! Measures the time and the bytes of a streamed reply in which each append is durable.
//!
//! The kernel counts the bytes of the process in `/proc/self/io`. The figures use `wchar`, the bytes that the process
//! passes to write calls: it is exact, and equal on every file system. The figure `dirtied` uses `write_bytes`, which
//! counts whole pages of the page cache: two for each frame of the WAL, because a frame is not aligned to pages.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. Linux only. Run it with `cargo bench -p throughline-benches
//! --bench streaming [-- --rounds N]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
#[path = "../kit/figures.rs"]
mod figures;
mod io_counters;
mod measured;
mod modes;
#[path = "../kit/stack.rs"]
mod stack;

use std::error::Error;

use measured::Measured;
use modes::{Appends, WriteMode, rewrite_raw, run};

type Failure = Box<dyn Error + Send + Sync>;

/// Each append has a few tokens.
const FEW: Appends = Appends { count: 1000, bytes: 32 };
const MANY: Appends = Appends { count: 2000, bytes: 32 };
/// Appends of one byte, which measure the cost of a commit alone.
const ONE_BYTE: Appends = Appends { count: 1000, bytes: 1 };

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds = arguments::given("rounds")?.unwrap_or(5);
    let mut measured = Measured::default();
    for _ in 0..rounds {
        measured.one_byte.push(run(WriteMode::Append, ONE_BYTE).await?);
        measured.few.push(run(WriteMode::Append, FEW).await?);
        measured.rewrite.push(run(WriteMode::Rewrite, FEW).await?);
        measured.raw_rewrite.push(rewrite_raw(FEW)?);
        measured.many.push(run(WriteMode::Append, MANY).await?);
        measured.settled.push(run(WriteMode::AppendAndFinish, FEW).await?);
        measured.patch.push(run(WriteMode::Patch, ONE_BYTE).await?);
        measured.draft.push(run(WriteMode::Draft, FEW).await?);
    }
    measured.report();
    Ok(())
}
