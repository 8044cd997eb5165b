use std::time::{Duration, Instant};

use throughline::{Seq, messages::PageFrom};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    filled::Filled,
};

/// How long each contender reads in its turn.
const SPAN: Duration = Duration::from_millis(40);

/// What each kind of read took in each round, in microseconds.
#[derive(Default)]
struct Took {
    latest: Vec<f64>,
    middle: Vec<f64>,
    get: Vec<f64>,
    raw: Vec<f64>,
}

/// Reads from every store by turns, one read after the other, and prints what a read takes.
pub(crate) async fn compare(stores: &[Filled], rounds: usize) -> Result<(), Failure> {
    let mut took: Vec<_> = stores.iter().map(|_| Took::default()).collect();
    for _ in 0..rounds {
        for (store, took) in stores.iter().zip(&mut took) {
            took.latest.push(turn(async |_| store.page(PageFrom::End).await).await?);
            took.raw.push(turn(async |_| store.raw.page(i64::MAX).await).await?);
        }
        for (store, took) in stores.iter().zip(&mut took) {
            let cursor = |n| PageFrom::After(Seq::new(store.somewhere(n)));
            took.middle.push(turn(async |n| store.page(cursor(n)).await).await?);
        }
        for (store, took) in stores.iter().zip(&mut took) {
            let get = async |n: usize| {
                let id = store.picked[n % store.picked.len()].clone();
                store.thread.get(id).await?.map(drop).ok_or_else(|| "a message is missing".into())
            };
            took.get.push(turn(get).await?);
        }
    }
    for (store, took) in stores.iter().zip(&took) {
        let messages = store.messages;
        figure(format_args!("sqlite_read.page50.{messages}"), median(&took.latest), "us");
        figure(format_args!("sqlite_read.page50_middle.{messages}"), median(&took.middle), "us");
        figure(format_args!("sqlite_read.get.{messages}"), median(&took.get), "us");
        figure(format_args!("sqlite_read.sqlx_page50.{messages}"), median(&took.raw), "us");
    }
    if let [short, .., long] = &took[..] {
        figure("sqlite_read.page50_growth", ratio(&long.latest, &short.latest), "x");
        figure("sqlite_read.page50_middle_growth", ratio(&long.middle, &short.middle), "x");
        figure("sqlite_read.get_growth", ratio(&long.get, &short.get), "x");
        // The other way round: how many pages there are in the time of one.
        figure("sqlite_read.page50_vs_sqlx", ratio(&long.raw, &long.latest), "x");
    }
    Ok(())
}

/// What one of these reads takes, in microseconds. Each is told how many came before it.
async fn turn(read: impl AsyncFn(usize) -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < SPAN {
        read(count).await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / count as f64)
}
