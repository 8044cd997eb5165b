//! Measures the overhead of each layer: 64 tasks add messages with and without the layer, alternately in one run.
//!
//! Prints one line per layer: `figure layers.cost.NAME VALUE ratio` over a store in memory, where other costs are
//! small, and `layers.cost.NAME.sqlite` over a durable file. A ratio is the median of the ratios of all rounds.
//! `redact.ns_per_byte.SHAPE` is the cost of the redactor for a text shape, and `redact.ns_per_byte` the highest of
//! them. `SHAPE-after-picture` is ordinary text after a Base64 picture. Run it with `cargo bench -p throughline-benches
//! --bench layers [-- [--rounds N] [--only NAME] [--store memory|sqlite|shapes]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod contenders;
#[path = "../kit/figures.rs"]
mod figures;
mod shapes;
#[path = "../kit/text.rs"]
mod text;

use std::error::Error;

use throughline::{memory::MemoryBackend, sqlite::SqliteOptions};

use contenders::{Contenders, contenders};

type Failure = Box<dyn Error + Send + Sync>;

/// The number of messages that each task adds in one round.
const IN_MEMORY: usize = 64;
const DURABLE: usize = 32;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "only", "store"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(21);
    let only: Option<String> = arguments::given("only")?;
    let store = arguments::one_of("store", &["memory", "sqlite", "shapes"])?;
    if only.is_some() && store.as_deref() == Some("shapes") {
        return Err("--only names a layer, and --store shapes has none".into());
    }
    if store.as_deref().is_none_or(|store| store == "memory") {
        let memory = Contenders::new(contenders!(MemoryBackend::new()), IN_MEMORY, only.as_deref())?;
        memory.compare(rounds, "").await?;
    }
    if store.as_deref().is_none_or(|store| store == "sqlite") {
        let stacks = contenders!(SqliteOptions::new().temporary().await?);
        Contenders::new(stacks, DURABLE, only.as_deref())?.compare(rounds, ".sqlite").await?;
    }
    if store.as_deref().is_none_or(|store| store == "shapes") && only.is_none() {
        shapes::measure(rounds.min(5)).await?;
    }
    Ok(())
}
