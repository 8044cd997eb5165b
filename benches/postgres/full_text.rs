//! Measures the cost of the full-text index for writes, and the latency of searches.

use std::time::{Duration, Instant};

use throughline::{
    NewMessage, PersistArgs, Persistence, Position,
    messages::{Add, Batch},
    postgres::PostgresBackend,
    search::SearchMessages,
};
use throughline_postgres_cluster::Cluster;

use crate::{
    Failure,
    figures::{figure, median, ratio},
    stack, store,
    tasks::Tasks,
};

const TASKS: usize = 64;

/// How long each store is written, and how long it is searched, in one round.
const WRITING: Duration = Duration::from_millis(1000);
const SEARCHING: Duration = Duration::from_millis(40);

/// The most items of one batch.
const BATCH: usize = 256;

/// The search terms: one message in a hundred contains the common term, and one in ten thousand the rare one.
const COMMON: &str = "harbour";
const RARE: &str = "lighthouse";

/// Compares writes with and without an index, then searches of stores of two sizes.
pub(crate) async fn compare(cluster: &Cluster, rounds: usize, messages: usize) -> Result<(), Failure> {
    cost(cluster, rounds).await?;
    search(cluster, rounds, [messages / 100, messages]).await
}

async fn indexed(cluster: &Cluster, name: &str) -> Result<Persistence, Failure> {
    cluster.run("postgres", &format!("CREATE DATABASE {name}"))?;
    stack::over(PostgresBackend::builder().search(true).open(&cluster.url(name)).await?)
}

/// Waits until the index contains every message.
async fn wait_until_indexed(db: &Persistence) -> Result<(), Failure> {
    let last: Position =
        db.thread("marker").add(NewMessage::user("x")).reply().await?.receipt.position.unwrap_or_default();
    while db.search(SearchMessages::new(RARE, 1)).await?.indexed < last {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn cost(cluster: &Cluster, rounds: usize) -> Result<(), Failure> {
    let plain = Tasks::over(store(cluster, "unindexed").await?, TASKS).await?;
    let db = indexed(cluster, "indexed").await?;
    let with = Tasks::over(db.clone(), TASKS).await?;
    let (mut without, mut rates, mut indexing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(plain.run(WRITING).await?.rate);
        let begun = Instant::now();
        rates.push(with.run(WRITING).await?.rate);
        let written = rates.last().copied().unwrap_or_default() * begun.elapsed().as_secs_f64();
        // The index must catch up before the other contender writes.
        wait_until_indexed(&db).await?;
        indexing.push(written / begun.elapsed().as_secs_f64());
    }
    figure("postgres_search.unindexed.64", median(&without), "writes/s");
    figure("postgres_search.indexed.64", median(&rates), "writes/s");
    figure("postgres_search.indexed_vs_unindexed.64", ratio(&rates, &without), "x");
    figure("postgres_search.written_and_indexed", median(&indexing), "messages/s");
    plain.close().await?;
    with.close().await
}

async fn search(cluster: &Cluster, rounds: usize, sizes: [usize; 2]) -> Result<(), Failure> {
    let mut stores = Vec::new();
    for messages in sizes {
        let db = indexed(cluster, &format!("searched{messages}")).await?;
        fill(&db, messages).await?;
        // The server would do this itself later, at a time that the benchmark does not control.
        cluster.run(&format!("searched{messages}"), "VACUUM ANALYZE")?;
        stores.push((db, Vec::new(), Vec::new()));
    }
    for _ in 0..rounds {
        for (db, rare, common) in &mut stores {
            rare.push(measure(db, RARE).await?);
            common.push(measure(db, COMMON).await?);
        }
    }
    for ((db, rare, common), messages) in stores.into_iter().zip(sizes) {
        figure(format_args!("postgres_search.rare.{messages}"), median(&rare), "us");
        figure(format_args!("postgres_search.common.{messages}"), median(&common), "us");
        db.close().await?;
    }
    Ok(())
}

/// Adds one message to each thread.
async fn fill(db: &Persistence, messages: usize) -> Result<(), Failure> {
    for first in (0..messages).step_by(BATCH) {
        let items = (first..messages.min(first + BATCH)).map(add).collect::<Result<_, Failure>>()?;
        db.batch(Batch::of(items)).await?;
    }
    let begun = Instant::now();
    wait_until_indexed(db).await?;
    figure(format_args!("postgres_search.index_lag.{messages}"), begun.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(())
}

fn add(number: usize) -> Result<PersistArgs, Failure> {
    let word = match number {
        number if number % 10_000 == 77 => RARE,
        number if number % 100 == 7 => COMMON,
        _ => "town",
    };
    let text =
        format!("A walk along the {word} of number {number} takes an hour, and two with a rest in between.");
    Ok(Add::new(format!("thread-{number}").parse()?, NewMessage::user(&text)).into())
}

/// Measures the mean latency of a search, in microseconds.
async fn measure(db: &Persistence, word: &str) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SEARCHING {
        db.search(SearchMessages::new(word, 10)).await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
