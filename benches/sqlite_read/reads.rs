use std::time::{Duration, Instant};

use throughline::{Seq, messages::PageFrom};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    filled::FilledStore,
};

/// How long each contender reads in one round.
const SPAN: Duration = Duration::from_millis(40);

/// The latencies of each kind of read in each round, in microseconds.
#[derive(Default)]
struct Latencies {
    latest: Vec<f64>,
    middle: Vec<f64>,
    get: Vec<f64>,
    raw: Vec<f64>,
}

/// Reads sequentially from each store in turn, and prints the latency of a read.
pub(crate) async fn compare(stores: &[FilledStore], rounds: usize) -> Result<(), Failure> {
    let mut latencies: Vec<_> = stores.iter().map(|_| Latencies::default()).collect();
    for _ in 0..rounds {
        for (store, latencies) in stores.iter().zip(&mut latencies) {
            latencies.latest.push(measure(async |_| store.page(PageFrom::End).await).await?);
            latencies.raw.push(measure(async |_| store.raw.page(i64::MAX).await).await?);
        }
        for (store, latencies) in stores.iter().zip(&mut latencies) {
            let cursor = |n| PageFrom::After(Seq::new(store.scattered_seq(n)));
            latencies.middle.push(measure(async |n| store.page(cursor(n)).await).await?);
        }
        for (store, latencies) in stores.iter().zip(&mut latencies) {
            let get = async |n: usize| {
                let id = store.picked[n % store.picked.len()].clone();
                store.thread.get(id).await?.map(drop).ok_or_else(|| "a message is missing".into())
            };
            latencies.get.push(measure(get).await?);
        }
    }
    for (store, latencies) in stores.iter().zip(&latencies) {
        let messages = store.messages;
        figure(format_args!("sqlite_read.page50.{messages}"), median(&latencies.latest), "us");
        figure(format_args!("sqlite_read.page50_middle.{messages}"), median(&latencies.middle), "us");
        figure(format_args!("sqlite_read.get.{messages}"), median(&latencies.get), "us");
        figure(format_args!("sqlite_read.sqlx_page50.{messages}"), median(&latencies.raw), "us");
    }
    if let [short, .., long] = &latencies[..] {
        figure("sqlite_read.page50_growth", ratio(&long.latest, &short.latest), "x");
        figure("sqlite_read.page50_middle_growth", ratio(&long.middle, &short.middle), "x");
        figure("sqlite_read.get_growth", ratio(&long.get, &short.get), "x");
        // Inverted, so that the figure says how many pages the store reads in the time of one.
        figure("sqlite_read.page50_vs_sqlx", ratio(&long.raw, &long.latest), "x");
    }
    Ok(())
}

/// Measures the mean latency of a read, in microseconds. Passes the number of earlier reads to `read`.
async fn measure(read: impl AsyncFn(usize) -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < SPAN {
        read(count).await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / count as f64)
}
