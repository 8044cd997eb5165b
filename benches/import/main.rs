//! Compares an import with batches of 100 adds of the same messages, through the same stack into a durable SQLite file.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. The contenders take turns, and a ratio is the median of the ratios of
//! all rounds: how many times as fast as the batches, by wall time, or by the processor time of the whole process (`_cpu`). A
//! time begins with an empty store and ends when the store is closed, so that it includes every checkpoint.
//!
//! Run it with `cargo bench -p throughline-benches --bench import [-- [--rounds N] [--messages N] [--threads N] [--only
//! NAME]]`. With `--only`, only this contender (`batch`, `ndjson` or `claude_code`) runs: use it for a profiler.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod claude_code_log;
mod contender;
#[path = "../kit/figures.rs"]
mod figures;
#[path = "../kit/stack.rs"]
mod stack;
#[path = "../kit/text.rs"]
mod text;

use std::error::Error;

use contender::{Contender, Cost, Sources};
use figures::{figure, median, ratio};

type Failure = Box<dyn Error + Send + Sync>;

/// The messages of all contenders.
#[derive(Clone, Copy)]
struct Load {
    messages: usize,
    threads: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "messages", "threads", "only"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(5);
    let messages = arguments::given("messages")?.unwrap_or(100_000);
    let threads = arguments::given("threads")?.unwrap_or(100);
    let only = arguments::given::<Contender>("only")?;
    let folder = tempfile::tempdir()?;
    let sources = Sources::create(&folder, Load { messages, threads }).await?;
    let contenders =
        Contender::ALL.into_iter().filter(|contender| only.is_none_or(|only| only == *contender));
    let mut measured: Vec<(Contender, Vec<Cost>)> =
        contenders.map(|contender| (contender, Vec::new())).collect();
    for _ in 0..rounds {
        for (contender, costs) in &mut measured {
            costs.push(sources.measure(*contender).await?);
        }
    }
    let of = |costs: &[Cost], value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<_>>();
    for (contender, costs) in &measured {
        let rates = of(costs, |cost| 1.0 / cost.elapsed).into_iter().map(|rate| rate * messages as f64);
        figure(format_args!("import.{contender}"), median(&rates.collect::<Vec<_>>()), "messages/s");
        let micros = of(costs, |cost| cost.processor).into_iter().map(|cost| cost * 1e6 / messages as f64);
        figure(format_args!("import.{contender}_cpu"), median(&micros.collect::<Vec<_>>()), "us/message");
    }
    let costs_of =
        |wanted| measured.iter().find(|(contender, _)| *contender == wanted).map(|(_, costs)| costs);
    let Some(batch) = costs_of(Contender::Batch) else { return Ok(()) };
    for (contender, costs) in measured.iter().filter(|(contender, _)| *contender != Contender::Batch) {
        let elapsed = ratio(&of(batch, |cost| cost.elapsed), &of(costs, |cost| cost.elapsed));
        figure(format_args!("import.{contender}_vs_batch"), elapsed, "x");
        let processor = ratio(&of(batch, |cost| cost.processor), &of(costs, |cost| cost.processor));
        figure(format_args!("import.{contender}_vs_batch_cpu"), processor, "x");
    }
    Ok(())
}
