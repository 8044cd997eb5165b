use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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

/// The times of each kind of call in one store, in microseconds, by the name of the kind and one for each round.
type Times = BTreeMap<&'static str, Vec<f64>>;

/// Calls both stores alternately, and prints the median time of a call in each store, and how much it grew.
///
/// The reads come before the additions, which change the stores unequally: a thread of the smaller one gets more of them.
pub(crate) async fn compare(stores: [&Filled; 2], rounds: usize) -> Result<(), Failure> {
    let mut times: [Times; 2] = Default::default();
    for round in 0..rounds {
        for at in [round % 2, 1 - round % 2] {
            reads(stores[at], &mut times[at]).await?;
        }
    }
    for round in 0..rounds {
        for at in [round % 2, 1 - round % 2] {
            additions(stores[at], &mut times[at]).await?;
        }
    }
    let [few, many] = &times;
    for ((kind, few), many) in few.iter().zip(many.values()) {
        for (store, times) in stores.iter().zip([few, many]) {
            figure(format_args!("scale.{kind}.{}", store.messages), median(times), "us");
        }
        figure(format_args!("scale.{kind}_growth"), ratio(many, few), "x");
    }
    Ok(())
}

/// Opens the store, measures each kind of read, and closes the store.
pub(crate) async fn reads(store: &Filled, times: &mut Times) -> Result<(), Failure> {
    let begun = Instant::now();
    let probe = Probe { db: store.open().await?, threads: store.threads };
    probe.page().await?;
    times.entry("open").or_default().push(begun.elapsed().as_secs_f64() * 1e6);
    times.entry("page50").or_default().push(measure(async || probe.page().await).await?);
    times.entry("list50").or_default().push(measure(async || probe.list().await).await?);
    let searches = [
        ("search_one", words::ONE),
        ("search_thousand", words::THOUSAND),
        ("search_rare", words::RARE),
        ("search_common", words::COMMON),
    ];
    for (kind, word) in searches.into_iter().filter(|_| store.search) {
        times.entry(kind).or_default().push(measure(async || probe.search(word).await).await?);
    }
    Ok(probe.db.close().await?)
}

/// Opens the store, measures additions and the list of the threads that have just got one, and closes the store.
async fn additions(store: &Filled, times: &mut Times) -> Result<(), Failure> {
    let probe = Probe { db: store.open().await?, threads: store.threads };
    let took = measure(async || probe.insert().await).await?;
    times.entry("insert").or_default().push(took / TASKS as f64);
    times.entry("list50_after_inserts").or_default().push(measure(async || probe.list().await).await?);
    Ok(probe.db.close().await?)
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
