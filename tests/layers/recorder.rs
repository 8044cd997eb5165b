//! A metrics recorder whose values tests can read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// The recorded metrics. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    described: BTreeMap<String, Option<Unit>>,
    counters: BTreeMap<String, Arc<AtomicU64>>,
    gauges: BTreeMap<String, Arc<Level>>,
    histograms: BTreeMap<String, Arc<Values>>,
    /// How many handles were registered.
    registered: usize,
}

/// A gauge.
#[derive(Debug, Default)]
struct Level(Mutex<f64>);

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        *self.0.lock().unwrap() += value;
    }

    fn decrement(&self, value: f64) {
        *self.0.lock().unwrap() -= value;
    }

    fn set(&self, value: f64) {
        *self.0.lock().unwrap() = value;
    }
}

#[derive(Debug, Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

/// A counter.
struct Counts(Arc<AtomicU64>);

impl CounterFn for Counts {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }
}

fn shown(key: &Key) -> String {
    let labels: Vec<String> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorded {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the value of a counter; 0 if the counter does not exist.
    pub(crate) fn counter(&self, series: &str) -> u64 {
        self.inner().counters.get(series).map_or(0, |counter| counter.load(Relaxed))
    }

    /// Returns the value of a gauge, if it exists.
    pub(crate) fn gauge(&self, series: &str) -> Option<f64> {
        self.inner().gauges.get(series).map(|gauge| *gauge.0.lock().unwrap())
    }

    /// Returns the values of a histogram.
    pub(crate) fn histogram(&self, series: &str) -> Vec<f64> {
        self.inner().histograms.get(series).map_or_else(Vec::new, |values| values.0.lock().unwrap().clone())
    }

    /// Returns every registered series.
    pub(crate) fn series(&self) -> Vec<String> {
        let inner = self.inner();
        inner.counters.keys().chain(inner.gauges.keys()).chain(inner.histograms.keys()).cloned().collect()
    }

    /// Returns the described metrics with their units.
    pub(crate) fn described(&self) -> BTreeMap<String, Option<Unit>> {
        self.inner().described.clone()
    }

    /// Returns how many handles were registered.
    pub(crate) fn registered(&self) -> usize {
        self.inner().registered
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        self.inner().described.insert(name.as_str().to_owned(), unit);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut inner = self.inner();
        inner.registered += 1;
        Counter::from_arc(Arc::new(Counts(Arc::clone(inner.counters.entry(shown(key)).or_default()))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut inner = self.inner();
        inner.registered += 1;
        Gauge::from_arc(Arc::clone(inner.gauges.entry(shown(key)).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut inner = self.inner();
        inner.registered += 1;
        Histogram::from_arc(Arc::clone(inner.histograms.entry(shown(key)).or_default()))
    }
}
