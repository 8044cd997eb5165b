use std::time::Duration;

use tempfile::TempDir;
use throughline::sqlite::SqliteBackend;

use crate::{
    Failure,
    facts::Facts,
    figures::{figure, median, ratio},
    pool::Pool,
    raw::Raw,
    stack,
    tasks::{Sample, Tasks, micros},
};

/// How long each contender writes in one round. The span is short, because the disk of a shared machine drifts from
/// second to second.
const SPAN: Duration = Duration::from_millis(150);

/// All contenders, each with its own file.
pub(crate) struct Contenders {
    autocommit: Raw,
    /// Like `autocommit`, with the other facts that the store keeps of a write.
    facts: Facts,
    batch100: Raw,
    /// Like `batch100`, but alternating between 64 threads, as the 64 tasks do.
    spread: Raw,
    pools: [Pool; 2],
    stacks: Vec<Tasks>,
}

/// The results of all rounds for one number of tasks: rates in writes per second, and latencies.
#[derive(Default)]
struct Rounds {
    samples: Vec<Sample>,
    autocommit: Vec<f64>,
    facts: Vec<f64>,
    batch100: Vec<f64>,
    spread: Vec<f64>,
    /// A pool of one connection, which queues its callers, and a pool of eight, which compete for the lock.
    pools: [Vec<f64>; 2],
}

impl Contenders {
    pub(crate) async fn open(folder: &TempDir, tasks: &[usize]) -> Result<Self, Failure> {
        let at = |name: &str| folder.path().join(name);
        let mut stacks = Vec::new();
        for count in tasks {
            let backend = SqliteBackend::open(at(&format!("stack{count}.db"))).await?;
            stacks.push(Tasks::over(stack::over(backend)?, *count).await?);
        }
        Ok(Self {
            autocommit: Raw::open(&at("autocommit.db"), 1, 1)?,
            facts: Facts::open(&at("facts.db"))?,
            batch100: Raw::open(&at("batch100.db"), 100, 1)?,
            spread: Raw::open(&at("spread.db"), 100, 64)?,
            pools: [Pool::open(&at("pool1.db"), 1).await?, Pool::open(&at("pool8.db"), 8).await?],
            stacks,
        })
    }

    /// Runs all contenders alternately, and prints the figures.
    pub(crate) async fn compare(mut self, rounds: usize) -> Result<(), Failure> {
        let mut measured: Vec<_> = self.stacks.iter().map(|_| Rounds::default()).collect();
        for _ in 0..rounds {
            for (stack, measured) in self.stacks.iter().zip(&mut measured) {
                measured.autocommit.push(self.autocommit.run(SPAN)?);
                measured.samples.push(stack.run(SPAN).await?);
                measured.facts.push(self.facts.run(SPAN)?);
                measured.batch100.push(self.batch100.run(SPAN)?);
                measured.spread.push(self.spread.run(SPAN)?);
                for (pool, measured) in self.pools.iter().zip(&mut measured.pools) {
                    measured.push(pool.run(stack.count, SPAN).await?);
                }
            }
        }
        let all = |of: fn(&Rounds) -> &Vec<f64>| measured.iter().flat_map(of).copied().collect::<Vec<_>>();
        figure("sqlite_write.rusqlite_autocommit", median(&all(|rounds| &rounds.autocommit)), "writes/s");
        figure("sqlite_write.rusqlite_same_facts", median(&all(|rounds| &rounds.facts)), "writes/s");
        figure("sqlite_write.rusqlite_batch100", median(&all(|rounds| &rounds.batch100)), "writes/s");
        figure(
            "sqlite_write.rusqlite_batch100_64_threads",
            median(&all(|rounds| &rounds.spread)),
            "writes/s",
        );
        for (stack, measured) in self.stacks.iter().zip(&measured) {
            measured.report(stack.count);
        }
        for stack in &self.stacks {
            stack.close().await?;
        }
        let rates = |tasks| {
            let at = self.stacks.iter().position(|stack| stack.count == tasks);
            at.map(|at| measured[at].rates())
        };
        if let (Some(many), Some(some)) = (rates(1024), rates(64)) {
            figure("sqlite_write.1024_vs_64", ratio(&many, &some), "x");
        }
        Ok(())
    }
}

impl Rounds {
    fn rates(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.rate).collect()
    }

    fn report(&self, tasks: usize) {
        let rates = self.rates();
        figure(format_args!("sqlite_write.throughline.{tasks}"), median(&rates), "writes/s");
        // The pool that is faster over the whole run. The faster one of each round would favor outliers.
        let pool = self.pools.iter().max_by(|one, other| median(one).total_cmp(&median(other))).expect("two");
        figure(format_args!("sqlite_write.sqlx_pool.{tasks}"), median(pool), "writes/s");
        figure(format_args!("sqlite_write.vs_sqlx_pool.{tasks}"), ratio(&rates, pool), "x");
        figure(format_args!("sqlite_write.vs_rusqlite_batch100.{tasks}"), ratio(&rates, &self.batch100), "x");
        figure(
            format_args!("sqlite_write.vs_rusqlite_batch100_64_threads.{tasks}"),
            ratio(&rates, &self.spread),
            "x",
        );
        figure(
            format_args!("sqlite_write.vs_rusqlite_autocommit.{tasks}"),
            ratio(&rates, &self.autocommit),
            "x",
        );
        figure(format_args!("sqlite_write.vs_rusqlite_same_facts.{tasks}"), ratio(&rates, &self.facts), "x");
        if tasks == 64 {
            let of = |quantile| {
                self.samples.iter().map(|sample| micros(&sample.latencies, quantile)).collect::<Vec<_>>()
            };
            let (p50, p99) = (of(0.5), of(0.99));
            figure("sqlite_write.p50.64", median(&p50), "us");
            figure("sqlite_write.p99.64", median(&p99), "us");
            figure("sqlite_write.p99_over_p50.64", ratio(&p99, &p50), "x");
            // A checkpoint may occur only in every second round, so these quantiles merge all rounds.
            let mut all = self.samples[0].latencies.clone();
            for sample in &self.samples[1..] {
                all += &sample.latencies;
            }
            figure("sqlite_write.p99_of_all.64", micros(&all, 0.99), "us");
            figure("sqlite_write.p999_of_all.64", micros(&all, 0.999), "us");
            figure("sqlite_write.p99_over_p50_of_all.64", micros(&all, 0.99) / micros(&all, 0.5), "x");
            figure("sqlite_write.p999_over_p50_of_all.64", micros(&all, 0.999) / micros(&all, 0.5), "x");
        }
    }
}
