//! Durable writes, beside what the drivers do by themselves, all in one run and by turns.
//!
//! One line a figure: `figure NAME VALUE UNIT`. A ratio is the median over rounds of what was measured in the same
//! round, because the disk of a shared machine drifts. `cargo bench --bench sqlite_write [-- ROUNDS]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod raw;

use std::{error::Error, path::Path, time::Duration};

use raw::{Autocommit, Pool};

use throughline::{
    NewMessage, Persistence,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
    sqlite::SqliteBackend,
};
use tokio::{task::JoinSet, time::Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// About the size of a turn of a conversation.
const TEXT: &str = "The dummy variable consumes the newline that is left in the input after the number was read. \
    Reading a number stops at the first character that cannot belong to it, and that character is the end of the line, \
    which the next reading of a whole line would take for an empty line. Declaring a variable for the only purpose of \
    throwing its value away is common in short programs; a longer one would rather ask the stream to ignore everything \
    up to and including the end of the line, which says what is meant, needs no variable, and also copes with blanks \
    after the number, which the variable would silently swallow together with the rest of the line.";

/// How long each contender writes in its turn. Short, because the disk of a shared machine drifts from second to second.
const SPAN: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // The harness of cargo passes `--bench`.
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(25_usize);
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let mut autocommit = Autocommit::open(&at("autocommit.db"))?;
    let one = Stack::open(&at("one.db"), 1).await?;
    let pool_of_one = Pool::open(&at("pool1.db"), 1).await?;
    let pool_of_eight = Pool::open(&at("pool8.db"), 8).await?;
    let sixty_four = Stack::open(&at("sixty_four.db"), 64).await?;
    let mut measured = Measured::default();
    for _ in 0..rounds {
        measured.autocommit.push(autocommit.run(SPAN)?);
        measured.one.push(one.run(SPAN).await?);
        // The faster of a pool of one connection, which queues its callers, and of eight, which fight for the lock.
        measured.pool.push(pool_of_one.run(64, SPAN).await?.max(pool_of_eight.run(64, SPAN).await?));
        measured.sixty_four.push(sixty_four.run(SPAN).await?);
    }
    measured.report();
    one.db.close().await?;
    sixty_four.db.close().await?;
    Ok(())
}

/// Writes a second, of each round.
#[derive(Default)]
struct Measured {
    autocommit: Vec<f64>,
    one: Vec<f64>,
    pool: Vec<f64>,
    sixty_four: Vec<f64>,
}

impl Measured {
    fn report(&self) {
        println!("figure sqlite_write.rusqlite_autocommit.1 {:.0} writes/s", median(&self.autocommit));
        println!("figure sqlite_write.throughline.1 {:.0} writes/s", median(&self.one));
        println!("figure sqlite_write.sqlx_pool.64 {:.0} writes/s", median(&self.pool));
        println!("figure sqlite_write.throughline.64 {:.0} writes/s", median(&self.sixty_four));
        println!("figure sqlite_write.vs_sqlx_pool.64 {:.2} x", ratio(&self.sixty_four, &self.pool));
        println!("figure sqlite_write.vs_rusqlite_autocommit.1 {:.2} x", ratio(&self.one, &self.autocommit));
    }
}

/// The whole default stack over a file, and the tasks that add through it, each to a thread of its own.
struct Stack {
    db: Persistence,
    tasks: usize,
}

impl Stack {
    async fn open(path: &Path, tasks: usize) -> Result<Self, Failure> {
        let db = Persistence::builder()
            .deadline(Duration::from_secs(30))
            .layer(LimitsLayer::new())
            .layer(TraceLayer::new())
            .layer(RetryLayer::new())
            .layer(TimeoutLayer::new(Duration::from_secs(10)))
            .backend(SqliteBackend::open(path).await?)
            .build()?;
        let stack = Self { db, tasks };
        stack.run(Duration::from_millis(50)).await?;
        Ok(stack)
    }

    /// Writes a second.
    async fn run(&self, span: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for task in 0..self.tasks {
            let thread = self.db.thread(format!("thread-{task}"));
            writers.spawn(async move {
                let mut written = 0_u64;
                while begun.elapsed() < span {
                    thread.add(NewMessage::user(TEXT)).await?;
                    written += 1;
                }
                Ok::<_, Failure>(written)
            });
        }
        let mut written = 0;
        while let Some(writer) = writers.join_next().await {
            written += writer??;
        }
        Ok(written as f64 / begun.elapsed().as_secs_f64())
    }
}

fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(&ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
