//! The layer `metrics`: it counts every call exactly once.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Recorder, SharedString, Unit};
use throughline::{
    ErrorKind, IdempotencyKey, NewMessage, OpKind, Persistence, TenantId,
    layers::{
        chaos::{ChaosLayer, Fault, Rule},
        metrics::{self as table, MetricsLayer},
        retry::RetryLayer,
    },
    memory::MemoryBackend,
    messages::{Batch, GetMessage},
};

use crate::{
    kit::{Bypassed, checks, failing},
    recorder::Recorded,
};

/// Builds a stack with the layer, or with a broken variant of it.
#[derive(Clone, Copy)]
pub(super) struct Stacks(fn(MetricsLayer) -> Persistence);

impl Stacks {
    fn stack(self, recorded: &Recorded) -> Persistence {
        self.0(MetricsLayer::with_recorder(recorded.clone()))
    }
}

macro_rules! stacks {
    (|$layer:ident| $variant:expr) => {
        Stacks(|$layer| Persistence::builder().layer($variant).backend(MemoryBackend::new()).build().unwrap())
    };
}

fn message(name: &str) -> NewMessage {
    NewMessage::user("twelve bytes").with_id(name.parse().unwrap())
}

/// Every call is counted by operation, outcome and effect.
async fn counts_calls(stacks: Stacks) {
    let recorded = Recorded::default();
    let thread = stacks.stack(&recorded).thread("t");
    thread.add(message("a")).await.unwrap();
    thread.add(message("b")).await.unwrap();
    thread.add(message("a")).await.unwrap_err();
    thread.delete("none".parse().unwrap()).await.unwrap_err();
    let calls = |labels: &str| recorded.counter(&format!("throughline_calls_total{{{labels}}}"));
    assert_eq!(calls("operation=add,outcome=ok,effect=applied"), 2);
    assert_eq!(calls("operation=add,outcome=already_exists,effect=not_applied"), 1);
    assert_eq!(calls("operation=delete,outcome=not_found,effect=not_applied"), 1);
    let took = recorded.histogram("throughline_call_duration_seconds{operation=add,outcome=ok}");
    assert_eq!(took.len(), 2);
    assert!(took.iter().all(|seconds| (0.0..60.0).contains(seconds)), "{took:?}");
    assert_eq!(recorded.gauge("throughline_calls_in_flight{operation=add}"), Some(0.0));
}

/// Reads are counted too.
async fn counts_reads(stacks: Stacks) {
    let recorded = Recorded::default();
    let db = stacks.stack(&recorded);
    db.read(GetMessage { thread: "t".parse().unwrap(), id: "m".parse().unwrap() }).await.unwrap();
    let series = "throughline_calls_total{operation=read,outcome=ok,effect=not_applied}";
    assert_eq!(recorded.counter(series), 1);
    assert_eq!(recorded.counter("throughline_content_written_bytes_total{operation=read}"), 0);
}

/// A batch counts as one call, with the content of all its items.
async fn counts_batches(stacks: Stacks) {
    let recorded = Recorded::default();
    let db = stacks.stack(&recorded);
    let add = |name: &str| throughline::messages::Add::new("t".parse().unwrap(), message(name));
    let bytes = add("a").content.byte_len() as u64;
    db.batch(Batch::new().with(add("a")).with(add("b"))).await.unwrap();
    assert_eq!(recorded.counter("throughline_calls_total{operation=batch,outcome=ok,effect=applied}"), 1);
    assert_eq!(recorded.counter("throughline_content_written_bytes_total{operation=batch}"), 2 * bytes);
}

/// A replay is counted as a replay, without written content.
async fn counts_replays(stacks: Stacks) {
    let recorded = Recorded::default();
    let thread = stacks.stack(&recorded).thread("t");
    let bytes = message("a").content().byte_len() as u64;
    for _ in 0..3 {
        thread.add(message("a")).key(IdempotencyKey::new("k").unwrap()).await.unwrap();
    }
    assert_eq!(recorded.counter("throughline_replays_total{operation=add}"), 2);
    assert_eq!(recorded.counter("throughline_content_written_bytes_total{operation=add}"), bytes);
    let series = |effect| format!("throughline_calls_total{{operation=add,outcome=ok,effect={effect}}}");
    assert_eq!((recorded.counter(&series("applied")), recorded.counter(&series("not_applied"))), (1, 2));
}

/// Each metric handle is registered once.
async fn registers_once(stacks: Stacks) {
    let recorded = Recorded::default();
    let thread = stacks.stack(&recorded).thread("t");
    thread.add(message("a")).await.unwrap();
    let registered = recorded.registered();
    for number in 0..20 {
        thread.add(message(&format!("m{number}"))).await.unwrap();
    }
    assert_eq!((recorded.registered(), recorded.series().len()), (registered, registered));
}

checks! {
    Stacks;
    "counts-calls" => counts_calls;
    "counts-reads" => counts_reads;
    "counts-batches" => counts_batches;
    "counts-replays" => counts_replays;
    "registers-once" => registers_once;
}

#[test]
fn the_metrics_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(|layer| layer)), [""; 0]);
}

#[test]
fn a_metrics_layer_that_skips_batches_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Batch });
    assert_eq!(failing(CHECKS, &skips), ["counts-batches"]);
}

#[test]
fn a_metrics_layer_that_skips_reads_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Read });
    assert_eq!(failing(CHECKS, &skips), ["counts-reads"]);
}

#[test]
fn a_metrics_layer_that_skips_deletes_fails_its_check() {
    let skips = stacks!(|layer| Bypassed { layer, bypasses: |request| request.kind() == OpKind::Delete });
    assert_eq!(failing(CHECKS, &skips), ["counts-calls"]);
}

#[test]
fn a_metrics_layer_that_skips_calls_with_a_key_fails_its_check() {
    let skips =
        stacks!(|layer| Bypassed { layer, bypasses: |request| request.context.idempotency().is_some() });
    assert_eq!(failing(CHECKS, &skips), ["counts-replays"]);
}

#[tokio::test]
async fn the_documented_metrics_are_equal_to_the_code() {
    let pages = [
        include_str!("../../crates/layers/src/metrics/mod.rs"),
        include_str!("../../docs/guide/observability.md"),
    ];
    for metric in table::ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, about) = (metric.name, metric.instrument.as_str(), metric.about);
        let unit = metric.unit.as_str();
        let row = format!("| `{name}` | {kind} | {unit} | {} | {about} |", labels.join(", "));
        for page in pages {
            assert!(page.contains(&row), "not documented: {row}");
        }
    }
    for page in pages {
        assert_eq!(page.matches("| `throughline_").count(), table::ALL.len());
    }
}

#[tokio::test]
async fn every_metric_is_described_with_its_unit() {
    let recorded = Recorded::default();
    drop(stacks!(|layer| layer).stack(&recorded));
    let described = table::ALL.iter().map(|metric| (metric.name.to_owned(), Some(metric.unit))).collect();
    assert_eq!(recorded.described(), described);
}

#[tokio::test]
async fn every_label_of_a_series_is_documented() {
    let recorded = Recorded::default();
    let layer = MetricsLayer::with_recorder(recorded.clone());
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    db.for_tenant("acme".parse().unwrap())
        .with_actor("some-actor")
        .thread("secret-thread")
        .add(message("m"))
        .await
        .unwrap();
    for series in recorded.series() {
        let metric = table::ALL.iter().find(|metric| series.starts_with(metric.name)).unwrap();
        let labels: Vec<&str> = series[metric.name.len() + 1..series.len() - 1]
            .split(',')
            .map(|label| label.split_once('=').unwrap().0)
            .collect();
        assert_eq!(labels, metric.labels, "{series}");
        assert!(!series.contains("acme") && !series.contains("secret") && !series.contains("some-actor"));
    }
}

#[tokio::test]
async fn tenants_are_labeled_only_if_configured_and_up_to_a_limit() {
    let recorded = Recorded::default();
    let layer = MetricsLayer::with_recorder(recorded.clone()).with_tenants(2);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    for tenant in ["a", "b", "c", "d", "a"] {
        let tenant: TenantId = tenant.parse().unwrap();
        db.for_tenant(tenant).thread("t").add(NewMessage::user("x")).await.unwrap();
    }
    let calls = |tenant: &str| {
        recorded.counter(&format!(
            "throughline_calls_total{{operation=add,outcome=ok,effect=applied,tenant={tenant}}}"
        ))
    };
    assert_eq!((calls("a"), calls("b"), calls("_other"), calls("c")), (2, 1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn attempts_after_the_first_are_counted_as_retries() {
    let recorded = Recorded::default();
    let twice = Rule::new("twice", Fault::before(ErrorKind::Busy)).in_threads("twice").nth(1).nth(2);
    let always = Rule::new("always", Fault::before(ErrorKind::Busy)).in_threads("always");
    let db = Persistence::builder()
        .layer(MetricsLayer::with_recorder(recorded.clone()))
        .layer(RetryLayer::new().attempts(4))
        .layer(ChaosLayer::seeded(1).rule(twice).rule(always))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let retries = || recorded.counter("throughline_retries_total{operation=add}");
    db.thread("calm").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(retries(), 0);
    db.thread("twice").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(retries(), 2);
    db.thread("always").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!(retries(), 5);
}

#[tokio::test]
async fn a_dropped_call_is_counted_and_leaves_the_in_flight_gauge() {
    let recorded = Recorded::default();
    let db = Persistence::builder()
        .layer(MetricsLayer::with_recorder(recorded.clone()))
        .layer(ChaosLayer::seeded(1).rule(Rule::new("hangs", Fault::hang())))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let call = tokio::spawn(db.thread("t").add(NewMessage::user("x")).into_future());
    let in_flight = || recorded.gauge("throughline_calls_in_flight{operation=add}");
    while in_flight() != Some(1.0) {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(in_flight(), Some(0.0));
    assert_eq!(recorded.counter("throughline_calls_total{operation=add,outcome=left,effect=not_applied}"), 1);
}

/// A recorder that panics at every call.
struct Panics;

impl Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("on purpose");
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("on purpose");
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("on purpose");
    }

    fn register_counter(&self, _: &Key, _: &metrics::Metadata<'_>) -> Counter {
        panic!("on purpose");
    }

    fn register_gauge(&self, _: &Key, _: &metrics::Metadata<'_>) -> Gauge {
        panic!("on purpose");
    }

    fn register_histogram(&self, _: &Key, _: &metrics::Metadata<'_>) -> Histogram {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_panicking_recorder_affects_no_call() {
    let layer = MetricsLayer::with_recorder(Arc::new(Panics));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let thread = db.with_deadline(Duration::from_secs(60)).thread("t");
    for number in 0..3 {
        thread.add(message(&format!("m{number}"))).await.unwrap();
    }
}
