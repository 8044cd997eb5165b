//! A layer written directly against tower: a `Layer`, a `Service` and a named future, without an allocation.
//!
//! The layer is a gauge. It counts the calls in flight and the slow calls.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project::{pin_project, pinned_drop};
use throughline::{
    NewMessage, PersistRequest, PersistResponse, Persistence, Phase,
    memory::MemoryBackend,
    messages::PageFrom,
    plugin::{NextRequest, from_fn},
};
use tower::{Layer, Service};

#[derive(Debug, Default)]
struct Gauge {
    running: AtomicU64,
    slow: AtomicU64,
}

/// Configuration lives in the layer; a service is a cheap clone.
#[derive(Clone)]
struct GaugeLayer {
    gauge: Arc<Gauge>,
    slow: Duration,
}

impl<S> Layer<S> for GaugeLayer {
    type Service = GaugeService<S>;

    fn layer(&self, inner: S) -> GaugeService<S> {
        GaugeService { inner, settings: self.clone() }
    }
}

#[derive(Clone)]
struct GaugeService<S> {
    inner: S,
    settings: GaugeLayer,
}

impl<S> Service<PersistRequest> for GaugeService<S>
where
    S: Service<PersistRequest, Response = PersistResponse>,
{
    type Response = PersistResponse;
    type Error = S::Error;
    type Future = GaugeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let GaugeLayer { gauge, slow } = self.settings.clone();
        gauge.running.fetch_add(1, Relaxed);
        GaugeFuture { inner: self.inner.call(request), gauge, slow, begun: Instant::now() }
    }
}

#[pin_project(PinnedDrop)]
struct GaugeFuture<F> {
    #[pin]
    inner: F,
    gauge: Arc<Gauge>,
    slow: Duration,
    begun: Instant,
}

impl<F: Future> Future for GaugeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if this.begun.elapsed() >= *this.slow {
            this.gauge.slow.fetch_add(1, Relaxed);
        }
        Poll::Ready(answer)
    }
}

/// Runs also when the caller drops the call before it completes, so that the call leaves the gauge.
#[pinned_drop]
impl<F> PinnedDrop for GaugeFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        self.gauge.running.fetch_sub(1, Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gauge = Arc::new(Gauge::default());
    let layer = GaugeLayer { gauge: Arc::clone(&gauge), slow: Duration::from_millis(40) };
    // An inner layer that delays reads, so that there is something to measure.
    let slow_reads =
        from_fn("slow-reads", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
            if !request.kind().is_write() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            next.run(request).await
        });
    let db = Persistence::builder()
        .layer_as("gauge", Phase::Observe, layer)
        .layer(slow_reads)
        .backend(MemoryBackend::new())
        .build()?;
    let thread = db.thread("tower");

    thread.add(NewMessage::user("quick")).await?;
    let read = thread.page(PageFrom::Start, 10);
    let cancelled = tokio::time::timeout(Duration::from_millis(10), read.into_future()).await;
    assert!(cancelled.is_err(), "the read takes 50 ms");
    let page = thread.page(PageFrom::Start, 10).await?;
    assert_eq!(page.messages.len(), 1);

    println!("{}", db.describe());
    println!("{gauge:?}");
    assert_eq!((gauge.running.load(Relaxed), gauge.slow.load(Relaxed)), (0, 1));
    db.close().await?;
    Ok(())
}
