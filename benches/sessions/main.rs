//! Measures the runs of agents: claims of one key, the independence of keys, and the cost of a long history.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds. Run it with
//! `cargo bench -p throughline-benches --bench sessions [-- [--rounds N] [--attempts N]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod claims;
#[path = "../kit/figures.rs"]
mod figures;
mod histories;
mod keys;

use std::{error::Error, path::Path};

use throughline::{
    Persistence,
    sessions::{Claimer, Runtime},
    sqlite::SqliteBackend,
};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "attempts"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(10);
    let attempts = arguments::given("attempts")?.unwrap_or(100_000);
    let folder = tempfile::tempdir()?;
    claims::one_wins(folder.path(), rounds).await?;
    keys::compare(folder.path(), rounds).await?;
    histories::compare(folder.path(), attempts, rounds).await
}

async fn open(folder: &Path, name: &str) -> Result<Persistence, Failure> {
    let backend = SqliteBackend::open(folder.join(format!("{name}.db"))).await?;
    Ok(Persistence::builder().backend(backend).build()?)
}

fn claimer() -> Result<Claimer, Failure> {
    Ok(Claimer::new("bench".parse()?, Runtime::new("here".parse()?, "root".parse()?)))
}
