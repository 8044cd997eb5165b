use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use throughline::{NewMessage, Thread, messages::PageFrom};
use tokio::task::JoinSet;

use crate::{
    Failure, PAGE,
    figures::{figure, median, ratio},
    filled::Filled,
    raw::Raw,
};

const READERS: usize = 8;

/// How long the readers read in their turn.
const SPAN: Duration = Duration::from_millis(200);

/// What reads the latest page.
#[derive(Clone)]
enum Contender {
    Stack(Thread),
    Raw(Raw),
}

impl Contender {
    async fn page(&self) -> Result<(), Failure> {
        match self {
            Self::Stack(thread) => Ok(thread.page(PageFrom::End, PAGE).await.map(drop)?),
            Self::Raw(raw) => raw.page(i64::MAX).await,
        }
    }
}

/// Lets several tasks read while one adds to the same thread, beside the same without it, and prints pages a second.
pub(crate) async fn compare(store: &Filled, rounds: usize) -> Result<(), Failure> {
    let (stack, sqlx) = (Contender::Stack(store.thread.clone()), Contender::Raw(store.raw.clone()));
    let (mut alone, mut beside, mut raw, mut written) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        alone.push(read(&stack).await?);
        let writing = Writing::begin(store.thread.clone());
        beside.push(read(&stack).await?);
        written.push(writing.end().await?);
        let writing = Writing::begin(store.thread.clone());
        raw.push(read(&sqlx).await?);
        writing.end().await?;
    }
    figure(format_args!("sqlite_read.page50_alone.{READERS}"), median(&alone), "pages/s");
    figure(format_args!("sqlite_read.page50_beside_writer.{READERS}"), median(&beside), "pages/s");
    figure(format_args!("sqlite_read.writer_beside_readers.{READERS}"), median(&written), "writes/s");
    figure(format_args!("sqlite_read.beside_writer_vs_alone.{READERS}"), ratio(&beside, &alone), "x");
    figure(format_args!("sqlite_read.beside_writer_vs_sqlx.{READERS}"), ratio(&beside, &raw), "x");
    Ok(())
}

/// Pages a second, of all readers together.
async fn read(contender: &Contender) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let contender = contender.clone();
        readers.spawn(async move {
            let mut pages = 0_u64;
            while begun.elapsed() < SPAN {
                contender.page().await?;
                pages += 1;
            }
            Ok::<_, Failure>(pages)
        });
    }
    let mut pages = 0;
    while let Some(reader) = readers.join_next().await {
        pages += reader??;
    }
    Ok(pages as f64 / begun.elapsed().as_secs_f64())
}

/// A task that adds, one message after the other, until it is told to stop.
struct Writing {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<f64, Failure>>,
}

impl Writing {
    fn begin(thread: Thread) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (begun, mut written) = (Instant::now(), 0_u64);
            while !told.load(Ordering::Relaxed) {
                thread.add(NewMessage::user("a reply that comes while others read")).await?;
                written += 1;
            }
            Ok(written as f64 / begun.elapsed().as_secs_f64())
        });
        Self { stop, task }
    }

    /// Writes a second.
    async fn end(self) -> Result<f64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
