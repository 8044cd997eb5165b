//! The instruments of the layer `metrics`, which a program reads as one value.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use serde_json::{Map, Value, json};

/// The instruments of a pipeline.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<Mutex<BTreeMap<Key, Meter>>>);

#[derive(Clone)]
enum Meter {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<Level>),
    Histogram(Arc<Mutex<Summary>>),
}

/// A gauge, as the bits of a floating-point number.
#[derive(Default)]
struct Level(AtomicU64);

impl Level {
    fn change(&self, to: impl Fn(f64) -> f64) {
        let changed = |bits| Some(to(f64::from_bits(bits)).to_bits());
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.change(|level| level + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|level| level - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

/// The values that a histogram keeps.
#[derive(Default)]
struct Summary {
    count: u64,
    sum: f64,
    max: f64,
}

struct Recorded(Arc<Mutex<Summary>>);

impl HistogramFn for Recorded {
    fn record(&self, value: f64) {
        let mut summary = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        summary.count += 1;
        summary.sum += value;
        summary.max = summary.max.max(value);
    }
}

struct Counted(Arc<AtomicU64>);

impl CounterFn for Counted {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

impl Meters {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key, make: impl FnOnce() -> Meter) -> Meter {
        self.all().entry(key.clone()).or_insert_with(make).clone()
    }

    /// Returns the values: a list of series for each name.
    pub(crate) fn read(&self) -> Value {
        let mut names: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, meter) in &*self.all() {
            let labels: Map<String, Value> =
                key.labels().map(|label| (label.key().to_owned(), label.value().into())).collect();
            let series = match meter {
                Meter::Counter(count) => json!({"labels": labels, "value": count.load(Ordering::Relaxed)}),
                Meter::Gauge(level) => {
                    json!({"labels": labels, "value": f64::from_bits(level.0.load(Ordering::Relaxed))})
                }
                Meter::Histogram(summary) => {
                    let Summary { count, sum, max } = *summary.lock().unwrap_or_else(PoisonError::into_inner);
                    json!({"labels": labels, "count": count, "sum": sum, "max": max})
                }
            };
            names.entry(key.name().to_owned()).or_default().push(series);
        }
        json!(names)
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.get(key, || Meter::Counter(Arc::default())) {
            Meter::Counter(count) => Counter::from_arc(Arc::new(Counted(count))),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.get(key, || Meter::Gauge(Arc::default())) {
            Meter::Gauge(level) => Gauge::from_arc(level),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.get(key, || Meter::Histogram(Arc::default())) {
            Meter::Histogram(summary) => Histogram::from_arc(Arc::new(Recorded(summary))),
            _ => Histogram::noop(),
        }
    }
}
