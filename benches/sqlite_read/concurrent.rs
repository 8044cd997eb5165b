use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use throughline::{NewMessage, Thread, messages::PageFrom};

use crate::{
    Failure, PAGE, concurrent_calls,
    figures::{figure, median, ratio},
    filled::FilledStore,
    raw::Raw,
};

const READERS: usize = 8;

/// How long the readers read in one round.
const SPAN: Duration = Duration::from_millis(200);

/// A reader of the latest page.
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

/// Measures pages per second of concurrent readers, with and without a concurrent writer to the same thread.
pub(crate) async fn compare(store: &FilledStore, rounds: usize) -> Result<(), Failure> {
    let (stack, sqlx) = (Contender::Stack(store.thread.clone()), Contender::Raw(store.raw.clone()));
    let (mut alone, mut with_writer, mut raw, mut written) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        alone.push(read(&stack).await?);
        let writing = Writing::begin(store.thread.clone());
        with_writer.push(read(&stack).await?);
        written.push(writing.end().await?);
        let writing = Writing::begin(store.thread.clone());
        raw.push(read(&sqlx).await?);
        writing.end().await?;
    }
    figure(format_args!("sqlite_read.page50_alone.{READERS}"), median(&alone), "pages/s");
    figure(format_args!("sqlite_read.page50_concurrent_writer.{READERS}"), median(&with_writer), "pages/s");
    figure(format_args!("sqlite_read.writer_concurrent_readers.{READERS}"), median(&written), "writes/s");
    figure(
        format_args!("sqlite_read.concurrent_writer_vs_alone.{READERS}"),
        ratio(&with_writer, &alone),
        "x",
    );
    figure(format_args!("sqlite_read.concurrent_writer_vs_sqlx.{READERS}"), ratio(&with_writer, &raw), "x");
    Ok(())
}

/// Returns pages per second of all readers together.
async fn read(contender: &Contender) -> Result<f64, Failure> {
    let contender = contender.clone();
    let page = move |_| {
        let contender = contender.clone();
        async move { contender.page().await }
    };
    concurrent_calls::per_second(READERS, SPAN, page).await
}

/// A task that adds messages sequentially until it is stopped.
struct Writing {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<f64, Failure>>,
}

impl Writing {
    fn begin(thread: Thread) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let is_stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (begun, mut written) = (Instant::now(), 0_u64);
            while !is_stopped.load(Ordering::Relaxed) {
                thread.add(NewMessage::user("a reply that comes while others read")).await?;
                written += 1;
            }
            Ok(written as f64 / begun.elapsed().as_secs_f64())
        });
        Self { stop, task }
    }

    /// Stops the task, and returns its writes per second.
    async fn end(self) -> Result<f64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
