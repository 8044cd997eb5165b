//! Writes into PostgreSQL and pages out of it, beside what the driver does by itself, all in one run and by turns.
//!
//! One line a figure: `figure NAME VALUE UNIT`. A ratio is the median over rounds of what was measured in the same round.
//! `cargo bench -p throughline-benches --bench postgres [-- [--rounds N] [--messages N] [--tasks N] [--writers N] [--pools N] [--words N]
//! [--only beside]]`; with `--tasks` only so many tasks write, and with `--pools 0` nobody beside them: what a profiler wants to see; with
//! `--words` only the index of words is measured, and a search of so many messages; with `--only beside`, row security and a pooler
//! alone. It starts a server of its own.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod beside;
mod contenders;
#[path = "../kit/figures.rs"]
mod figures;
mod hosts;
mod pages;
mod pool;
#[path = "../kit/prefill.rs"]
mod prefill;
#[path = "../kit/stack.rs"]
mod stack;
#[path = "../kit/tasks.rs"]
mod tasks;
#[path = "../kit/text.rs"]
mod text;
mod words;

use std::error::Error;

use throughline::{Persistence, postgres::PostgresBackend};
use throughline_postgres_cluster::{Cluster, Installation};

use contenders::Contenders;

type Failure = Box<dyn Error + Send + Sync>;

const TASKS: [usize; 4] = [1, 8, 64, 256];

/// How many messages are searched.
const WORDS: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if let Some(url) = arguments::given::<String>("host")? {
        return hosts::host(&url).await;
    }
    let rounds = arguments::given("rounds")?.unwrap_or(10);
    let longest = arguments::given("messages")?.unwrap_or(1_000_000);
    let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
    let cluster = Cluster::start(&installation)?;
    if arguments::given::<String>("only")?.as_deref() == Some("beside") {
        return beside::compare(&cluster, rounds).await;
    }
    if let Some(tasks) = arguments::given("tasks")? {
        return Contenders::open(&cluster, &[tasks]).await?.compare(rounds).await;
    }
    if let Some(messages) = arguments::given("words")? {
        return words::compare(&cluster, rounds, messages).await;
    }
    Contenders::open(&cluster, &TASKS).await?.compare(rounds).await?;
    hosts::compare(&installation, &cluster, rounds).await?;
    beside::compare(&cluster, rounds).await?;
    pages::compare(&cluster, prefill::lengths(longest), rounds).await?;
    words::compare(&cluster, rounds, WORDS).await
}

/// The whole default stack over a database of its own.
async fn store(cluster: &Cluster, name: &str) -> Result<Persistence, Failure> {
    cluster.run("postgres", &format!("CREATE DATABASE {name}"))?;
    let mut options = PostgresBackend::builder();
    if let Some(writers) = arguments::given("writers")? {
        options = options.writers(writers);
    }
    stack::over(options.open(&cluster.url(name)).await?)
}
