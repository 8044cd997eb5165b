//! Compares writes to PostgreSQL and page reads from it with the driver alone. One run measures all contenders alternately.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds. Run it with
//! `cargo bench -p throughline-benches --bench postgres [-- [--rounds N] [--messages N] [--tasks N] [--writers N]
//! [--pools N] [--words N] [--only connections]]`. With `--tasks`, only this number of tasks writes, and with `--pools 0` no
//! other contender does: use both for a profiler. With `--words`, the benchmark measures only the full-text index and
//! searches of that many messages; with `--only connections`, only row-level security and the pooler. It starts its own
//! server.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
#[path = "../kit/concurrent_calls.rs"]
mod concurrent_calls;
mod connections;
mod contenders;
mod facts;
#[path = "../kit/figures.rs"]
mod figures;
mod full_text;
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

use std::error::Error;

use throughline::{Persistence, postgres::PostgresBackend};
use throughline_postgres_cluster::{Cluster, Installation};

use contenders::Contenders;

type Failure = Box<dyn Error + Send + Sync>;

const TASKS: [usize; 4] = [1, 8, 64, 256];

/// The number of messages that are searched.
const SEARCHED_MESSAGES: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["host", "rounds", "messages", "only", "tasks", "words", "writers", "pools"])?;
    if let Some(url) = arguments::given::<String>("host")? {
        return hosts::host(&url).await;
    }
    let rounds = arguments::given("rounds")?.unwrap_or(10);
    let longest = arguments::given("messages")?.unwrap_or(1_000_000);
    let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
    let cluster = Cluster::start(&installation)?;
    if arguments::one_of("only", &["connections"])?.is_some() {
        return connections::compare(&cluster, rounds).await;
    }
    if let Some(tasks) = arguments::given("tasks")? {
        return Contenders::open(&cluster, &[tasks]).await?.compare(rounds).await;
    }
    if let Some(messages) = arguments::given("words")? {
        return full_text::compare(&cluster, rounds, messages).await;
    }
    Contenders::open(&cluster, &TASKS).await?.compare(rounds).await?;
    hosts::compare(&installation, &cluster, rounds).await?;
    connections::compare(&cluster, rounds).await?;
    pages::compare(&cluster, prefill::lengths(longest), rounds).await?;
    full_text::compare(&cluster, rounds, SEARCHED_MESSAGES).await
}

/// Builds the default stack over a new database.
async fn store(cluster: &Cluster, name: &str) -> Result<Persistence, Failure> {
    cluster.run("postgres", &format!("CREATE DATABASE {name}"))?;
    let mut options = PostgresBackend::builder();
    if let Some(writers) = arguments::given("writers")? {
        options = options.writers(writers);
    }
    stack::over(options.open(&cluster.url(name)).await?)
}
