//! Compares durable writes with the same writes through the drivers alone. One run measures all contenders alternately.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds, because the
//! disk of a shared machine drifts. Run it with `cargo bench -p throughline-benches --bench sqlite_write [-- [--rounds
//! N] [--messages N] [--tasks N]]`. With `--tasks`, only this number of tasks writes, and the benchmark skips the
//! thread lengths: use it for a profiler.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
#[path = "../kit/concurrent_calls.rs"]
mod concurrent_calls;
mod contenders;
mod facts;
#[path = "../kit/figures.rs"]
mod figures;
mod growth;
mod pool;
#[path = "../kit/prefill.rs"]
mod prefill;
mod raw;
mod row;
#[path = "../kit/stack.rs"]
mod stack;
#[path = "../kit/tasks.rs"]
mod tasks;
#[path = "../kit/text.rs"]
mod text;

use std::error::Error;

use contenders::Contenders;

type Failure = Box<dyn Error + Send + Sync>;

const TASKS: [usize; 5] = [1, 8, 64, 256, 1024];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "messages", "tasks"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(20);
    let longest = arguments::given("messages")?.unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    if let Some(tasks) = arguments::given("tasks")? {
        return Contenders::open(&folder, &[tasks]).await?.compare(rounds).await;
    }
    Contenders::open(&folder, &TASKS).await?.compare(rounds).await?;
    growth::compare(&folder, prefill::lengths(longest), 2 * rounds).await
}
