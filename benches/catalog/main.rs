//! Measures thread lists, the change feed and search on stores of two sizes. One run measures both stores alternately.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds. Run it with
//! `cargo bench -p throughline-benches --bench catalog [-- [--rounds N] [--threads N]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod changes;
#[path = "../kit/figures.rs"]
mod figures;
mod lists;
mod store;

use std::error::Error;

use store::Store;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "threads"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(30);
    let threads = arguments::given("threads")?.unwrap_or(100_000);
    let folder = tempfile::tempdir()?;
    let stores =
        [Store::filled(&folder, (threads / 100).max(100)).await?, Store::filled(&folder, threads).await?];
    lists::compare(&stores, rounds).await?;
    changes::latency(&folder).await?;
    changes::throughput(&stores[1]).await?;
    changes::effects(&stores[1]).await?;
    for store in &stores {
        store.db.close().await?;
    }
    Ok(())
}
