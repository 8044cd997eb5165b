use std::time::{Duration, Instant};

use tempfile::TempDir;
use throughline::{
    NewMessage, Persistence, Position,
    messages::{Add, Batch},
    search::SearchMessages,
    sqlite::SqliteOptions,
};

use crate::{Failure, figures::figure};

/// The most items of one batch.
const BATCH: usize = 256;

/// The search terms: one thread in a hundred contains the common term, and one in ten thousand the rare one.
pub(crate) const COMMON: &str = "harbour";
pub(crate) const RARE: &str = "lighthouse";

/// A store with threads of one message each, and a full-text index.
pub(crate) struct Store {
    pub(crate) threads: usize,
    pub(crate) db: Persistence,
    /// The position of the last change.
    pub(crate) last: Position,
}

impl Store {
    pub(crate) async fn filled(folder: &TempDir, threads: usize) -> Result<Self, Failure> {
        let path = folder.path().join(format!("catalog{threads}.db"));
        let backend = SqliteOptions::new().search(true).open(path).await?;
        let db = Persistence::builder().backend(backend).build()?;
        let begun = Instant::now();
        let mut last = Position::ZERO;
        for first in (0..threads).step_by(BATCH) {
            let adds = (first..threads.min(first + BATCH)).map(add);
            let items = adds.collect::<Result<_, Failure>>()?;
            last = db.batch(Batch::of(items)).reply().await?.receipt.position.unwrap_or(last);
        }
        let written = begun.elapsed();
        while db.search(SearchMessages::new(RARE, 1)).await?.indexed < last {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let lag = begun.elapsed().saturating_sub(written);
        figure(format_args!("catalog.burst.{threads}"), written.as_secs_f64() * 1e3, "ms");
        figure(format_args!("catalog.index_lag.{threads}"), lag.as_secs_f64() * 1e3, "ms");
        Ok(Self { threads, db, last })
    }
}

fn add(number: usize) -> Result<throughline::PersistArgs, Failure> {
    let word = match number {
        number if number % 10_000 == 77 => RARE,
        number if number % 100 == 7 => COMMON,
        _ => "town",
    };
    let text =
        format!("A walk along the {word} of number {number} takes an hour, and two with a rest in between.");
    Ok(Add::new(format!("thread-{number}").parse()?, NewMessage::user(&text)).into())
}
