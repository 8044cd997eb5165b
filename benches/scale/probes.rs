use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use throughline::{
    NewMessage, Persistence,
    messages::{Add, PageFrom},
    search::SearchMessages,
    threads::ListThreads,
};

use crate::{
    Failure,
    figures::{figure, median, ratio},
    store::{Filled, thread},
    words,
};

/// How long each store answers one kind of call in one round.
const SPAN: Duration = Duration::from_millis(50);

const PAGE: u32 = 50;

/// The number of additions at the same time.
const TASKS: usize = 64;

/// The names of the kinds of calls.
const KINDS: [&str; 7] =
    ["page50", "insert", "list50", "search_one", "search_thousand", "search_rare", "search_common"];

/// Calls both stores alternately, and prints the median time of a call in each store, and how much it grew.
pub(crate) async fn compare(stores: [&Filled; 2], rounds: usize) -> Result<(), Failure> {
    let mut times: [[Vec<f64>; KINDS.len()]; 2] = Default::default();
    let mut opened: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        for at in [round % 2, 1 - round % 2] {
            let begun = Instant::now();
            let db = stores[at].open().await?;
            let probe = Probe { db, threads: stores[at].threads };
            probe.page().await?;
            opened[at].push(begun.elapsed().as_secs_f64() * 1e6);
            let [page, insert, list, one, thousand, rare, common] = &mut times[at];
            page.push(measure(async || probe.page().await).await?);
            insert.push(measure(async || probe.insert().await).await? / TASKS as f64);
            list.push(measure(async || probe.list().await).await?);
            if stores[at].search {
                one.push(measure(async || probe.search(words::ONE).await).await?);
                thousand.push(measure(async || probe.search(words::THOUSAND).await).await?);
                rare.push(measure(async || probe.search(words::RARE).await).await?);
                common.push(measure(async || probe.search(words::COMMON).await).await?);
            }
            probe.db.close().await?;
        }
    }
    let [few, many] = &times;
    let measured = KINDS.iter().zip(few.iter().zip(many)).filter(|(_, (few, _))| !few.is_empty());
    for (kind, (few, many)) in measured {
        print(kind, stores, few, many);
    }
    let [few, many] = &opened;
    print("open", stores, few, many);
    Ok(())
}

fn print(kind: &str, stores: [&Filled; 2], few: &[f64], many: &[f64]) {
    for (store, times) in stores.iter().zip([few, many]) {
        figure(format_args!("scale.{kind}.{}", store.messages), median(times), "us");
    }
    figure(format_args!("scale.{kind}_growth"), ratio(many, few), "x");
}

struct Probe {
    db: Persistence,
    threads: usize,
}

impl Probe {
    /// Reads the latest messages of a random thread.
    async fn page(&self) -> Result<(), Failure> {
        let page = self.db.thread(self.any_thread()).page(PageFrom::End, PAGE).await?;
        if page.messages.len() == PAGE as usize { Ok(()) } else { Err("a page is not full".into()) }
    }

    /// Adds one message to each of some random threads, at the same time.
    async fn insert(&self) -> Result<(), Failure> {
        let text = words::text(1);
        let adds = (0..TASKS).map(async |_| {
            let add = Add::new(thread(fastrand::usize(..self.threads))?, NewMessage::user(&text));
            self.db.run(add).await?;
            Ok::<_, Failure>(())
        });
        try_join_all(adds).await?;
        Ok(())
    }

    async fn list(&self) -> Result<(), Failure> {
        let list = self.db.threads(ListThreads::new(PAGE)).await?;
        if list.threads.len() == PAGE as usize { Ok(()) } else { Err("a list is not full".into()) }
    }

    async fn search(&self, word: &str) -> Result<(), Failure> {
        let found = self.db.search(SearchMessages::new(word, 10)).await?;
        if found.hits.is_empty() { Err(format!("no message with {word} was found").into()) } else { Ok(()) }
    }

    fn any_thread(&self) -> String {
        format!("thread-{}", fastrand::usize(..self.threads))
    }
}

/// Measures the mean time of a call, in microseconds.
async fn measure(call: impl AsyncFn() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        call().await?;
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
