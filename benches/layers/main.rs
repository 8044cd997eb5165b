//! What each layer costs: 64 tasks that add messages through one layer, beside the same without any, by turns in one run.
//!
//! One line a layer: `figure layers.cost.NAME VALUE ratio` over a store in memory, where nothing else costs much, and
//! `layers.cost.NAME.sqlite` over a durable file. A ratio is the median over rounds of what was measured in the same round.
//! `cargo bench --bench layers [-- --rounds N]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod contenders;
#[path = "../kit/figures.rs"]
mod figures;

use std::error::Error;

use throughline::{memory::MemoryBackend, sqlite::SqliteOptions};

use contenders::{Contenders, contenders};

type Failure = Box<dyn Error + Send + Sync>;

/// How many messages each task adds in a turn.
const IN_MEMORY: usize = 64;
const DURABLE: usize = 32;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds = arguments::number("rounds")?.unwrap_or(21);
    let memory = Contenders::new(contenders!(MemoryBackend::new()), IN_MEMORY);
    memory.compare(rounds, "").await?;
    let sqlite = Contenders::new(contenders!(SqliteOptions::new().temporary().await?), DURABLE);
    sqlite.compare(rounds, ".sqlite").await
}
