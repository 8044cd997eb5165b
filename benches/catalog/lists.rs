use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use throughline::{search::SearchMessages, threads::ListThreads};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    store::{COMMON, RARE, Store},
};

/// How long each contender reads in one round.
const SPAN: Duration = Duration::from_millis(40);

const PAGE: u32 = 50;

/// The latencies of each kind of read in each round, in microseconds.
#[derive(Default)]
struct Latencies {
    list: Vec<f64>,
    middle: Vec<f64>,
    rare: Vec<f64>,
    common: Vec<f64>,
}

/// Lists and searches both stores alternately, and prints the latency of a call.
pub(crate) async fn compare(stores: &[Store; 2], rounds: usize) -> Result<(), Failure> {
    let mut latencies = [Latencies::default(), Latencies::default()];
    let mut cursors = Vec::new();
    for store in stores {
        // Cursors around the middle of the list: the cost of a page depends on how many threads share the time of its cursor.
        let (mut list, mut middle) = (ListThreads::new(PAGE), Vec::new());
        let pages = store.threads / PAGE as usize;
        for page in 0..pages * 3 / 4 {
            list.after = store.db.threads(list.clone()).await?.next;
            if page >= pages / 4 {
                middle.push(list.clone());
            }
        }
        cursors.push(middle);
    }
    for _ in 0..rounds {
        for ((store, middle), latencies) in stores.iter().zip(&cursors).zip(&mut latencies) {
            let list = async || store.db.threads(ListThreads::new(PAGE)).await.map(|list| list.threads.len());
            latencies.list.push(measure(async || check_full(list().await?)).await?);
            let next = Cell::new(0);
            let list = async || {
                let middle = &middle[next.replace(next.get() + 1) % middle.len()];
                store.db.threads(middle.clone()).await.map(|list| list.threads.len())
            };
            latencies.middle.push(measure(async || check_full(list().await?)).await?);
            for (word, latencies) in [(RARE, &mut latencies.rare), (COMMON, &mut latencies.common)] {
                let search = async || store.db.search(SearchMessages::new(word, 10)).await.map(drop);
                latencies.push(measure(async || Ok(search().await?)).await?);
            }
        }
    }
    let [few, many] = &latencies;
    for (store, latencies) in stores.iter().zip(&latencies) {
        let threads = store.threads;
        figure(format_args!("catalog.list50.{threads}"), median(&latencies.list), "us");
        figure(format_args!("catalog.list50_middle.{threads}"), median(&latencies.middle), "us");
        figure(format_args!("catalog.search_rare.{threads}"), median(&latencies.rare), "us");
        figure(format_args!("catalog.search_common.{threads}"), median(&latencies.common), "us");
    }
    figure("catalog.list50_growth", ratio(&many.list, &few.list), "x");
    figure("catalog.list50_middle_growth", ratio(&many.middle, &few.middle), "x");
    Ok(())
}

fn check_full(entries: usize) -> Result<(), Failure> {
    if entries == PAGE as usize { Ok(()) } else { Err("a list is not check_full".into()) }
}

/// Measures the mean latency of a read, in microseconds.
async fn measure(read: impl AsyncFn() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        read().await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
