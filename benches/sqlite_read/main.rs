//! Reads of threads of several lengths, beside what the driver does by itself, all in one run and by turns.
//!
//! One line a figure: `figure NAME VALUE UNIT`. A ratio is the median over rounds of what was measured in the same
//! round. `cargo bench -p throughline-benches --bench sqlite_read [-- [--rounds N] [--messages N]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod beside;
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

use filled::Filled;

type Failure = Box<dyn Error + Send + Sync>;

/// How many messages a page has.
const PAGE: u32 = 50;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds = arguments::given("rounds")?.unwrap_or(50);
    let longest = arguments::given("messages")?.unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    let mut stores = Vec::new();
    for messages in prefill::lengths(longest) {
        stores.push(Filled::open(&folder, messages).await?);
    }
    reads::compare(&stores, rounds).await?;
    if let [_, store, _] = &stores[..] {
        beside::compare(store, rounds / 2).await?;
    }
    for store in &stores {
        store.db.close().await?;
    }
    Ok(())
}
