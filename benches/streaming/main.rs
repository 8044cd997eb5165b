//! Measures the time and the bytes of a streamed reply in which each append is durable.
//!
//! The kernel counts the bytes of the process in `/proc/self/io`. The figures use `wchar`, the bytes that the process
//! passes to write calls: it is exact, and equal on every file system. The figure `dirtied` uses `write_bytes`, which
//! counts whole pages of the page cache: two for each frame of the WAL, because a frame is not aligned to pages.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. Linux only. Run it with `cargo bench -p throughline-benches
//! --bench streaming [-- [--rounds N] [--seconds N] [--only appends|reading_speed|ends]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod ends;
#[path = "../kit/figures.rs"]
mod figures;
mod io_counters;
mod measured;
mod modes;
mod reading_speed;
#[path = "../kit/stack.rs"]
mod stack;

use std::{error::Error, time::Duration};

use measured::Measured;
use modes::{Appends, WriteMode, rewrite_raw, run};
use reading_speed::{Replies, report_core, report_written};

type Failure = Box<dyn Error + Send + Sync>;

/// Each append has a few tokens.
const FEW: Appends = Appends { count: 1000, bytes: 32 };
const MANY: Appends = Appends { count: 2000, bytes: 32 };
/// Appends of one byte, which measure the cost of a commit alone.
const ONE_BYTE: Appends = Appends { count: 1000, bytes: 1 };

/// The numbers of drafts at reading speed.
const DRAFTS: [usize; 3] = [1, 64, 1000];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "seconds", "only"])?;
    let rounds: usize = arguments::given("rounds")?.unwrap_or(5);
    let seconds = arguments::given("seconds")?.unwrap_or(10);
    let only = arguments::one_of("only", &["appends", "reading_speed", "ends"])?;
    let is_wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if is_wanted("appends") {
        measure_appends(rounds).await?;
    }
    if is_wanted("reading_speed") {
        measure_reading_speed(rounds, Duration::from_secs(seconds)).await?;
    }
    if is_wanted("ends") {
        ends::measure(FEW, rounds).await?;
    }
    Ok(())
}

async fn measure_appends(rounds: usize) -> Result<(), Failure> {
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

async fn measure_reading_speed(rounds: usize, span: Duration) -> Result<(), Failure> {
    let one = Replies { count: 1, span };
    let (mut rewrites, mut raw) = (Vec::new(), Vec::new());
    let mut drafts = DRAFTS.map(|count| (count, Vec::new()));
    for _ in 0..rounds {
        for (count, costs) in &mut drafts {
            costs.push(Replies { count: *count, span }.through_drafts().await?);
        }
        rewrites.push(one.by_rewrite().await?);
        raw.push(one.by_raw_appends()?);
    }
    for (count, costs) in &drafts {
        report_written(&format!("draft.{count}"), costs);
        report_core(*count, costs);
    }
    report_written("rewrite", &rewrites);
    report_written("raw_append", &raw);
    Ok(())
}
