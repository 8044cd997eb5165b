use std::time::{Duration, Instant};

use throughline::{search::SearchMessages, threads::ListThreads};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    store::{COMMON, RARE, Store},
};

/// How long each contender reads in its turn.
const SPAN: Duration = Duration::from_millis(40);

const PAGE: u32 = 50;

/// What each kind of read took in each round, in microseconds.
#[derive(Default)]
struct Took {
    list: Vec<f64>,
    middle: Vec<f64>,
    rare: Vec<f64>,
    common: Vec<f64>,
}

/// Lists and searches by turns, and prints what a call takes.
pub(crate) async fn compare(stores: &[Store; 2], rounds: usize) -> Result<(), Failure> {
    let mut took = [Took::default(), Took::default()];
    let mut cursors = Vec::new();
    for store in stores {
        // Somewhere in the list.
        let mut list = ListThreads::new(PAGE);
        for _ in 0..store.threads / 2 / PAGE as usize {
            list.after = store.db.threads(list.clone()).await?.next;
        }
        cursors.push(list);
    }
    for _ in 0..rounds {
        for ((store, middle), took) in stores.iter().zip(&cursors).zip(&mut took) {
            let list = async || store.db.threads(ListThreads::new(PAGE)).await.map(|list| list.entries.len());
            took.list.push(turn(async || full(list().await?)).await?);
            let list = async || store.db.threads(middle.clone()).await.map(|list| list.entries.len());
            took.middle.push(turn(async || full(list().await?)).await?);
            for (word, took) in [(RARE, &mut took.rare), (COMMON, &mut took.common)] {
                let search = async || store.db.search(SearchMessages::new(word, 10)).await.map(drop);
                took.push(turn(async || Ok(search().await?)).await?);
            }
        }
    }
    let [few, many] = &took;
    for (store, took) in stores.iter().zip(&took) {
        let threads = store.threads;
        figure(format_args!("catalog.list50.{threads}"), median(&took.list), "us");
        figure(format_args!("catalog.list50_middle.{threads}"), median(&took.middle), "us");
        figure(format_args!("catalog.search_rare.{threads}"), median(&took.rare), "us");
        figure(format_args!("catalog.search_common.{threads}"), median(&took.common), "us");
    }
    figure("catalog.list50_growth", ratio(&many.list, &few.list), "x");
    figure("catalog.list50_middle_growth", ratio(&many.middle, &few.middle), "x");
    Ok(())
}

fn full(entries: usize) -> Result<(), Failure> {
    if entries == PAGE as usize { Ok(()) } else { Err("a list is not full".into()) }
}

/// What one of these reads takes, in microseconds.
async fn turn(read: impl AsyncFn() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        read().await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
