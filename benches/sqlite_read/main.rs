//! Compares reads of threads of several lengths with the same reads through the driver alone. One run measures all
//! contenders alternately.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds. Run it with
//! `cargo bench -p throughline-benches --bench sqlite_read [-- [--rounds N] [--messages N]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod concurrent;
#[path = "../kit/concurrent_calls.rs"]
mod concurrent_calls;
#[path = "../kit/figures.rs"]
mod figures;
mod filled;
#[path = "../kit/prefill.rs"]
mod prefill;
mod raw;
mod reads;
#[path = "../kit/stack.rs"]
mod stack;

use std::error::Error;

use filled::FilledStore;

type Failure = Box<dyn Error + Send + Sync>;

/// The number of messages of a page.
const PAGE: u32 = 50;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "messages"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(50);
    let longest = arguments::given("messages")?.unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    let mut stores = Vec::new();
    for messages in prefill::lengths(longest) {
        stores.push(FilledStore::open(&folder, messages).await?);
    }
    reads::compare(&stores, rounds).await?;
    if let [_, store, _] = &stores[..] {
        concurrent::compare(store, rounds / 2).await?;
    }
    for store in &stores {
        store.db.close().await?;
    }
    Ok(())
}
