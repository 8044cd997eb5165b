//! The metric handles of a pipeline; each is registered once.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, with_recorder};

use super::{
    Metric,
    table::{self, Instrument},
};
use throughline_core::{Effect, ErrorKind, OpKind, TenantId};

/// A recorder that the host passed to the layer.
pub(super) type OwnRecorder = Arc<dyn Recorder + Send + Sync>;

/// The recorder that the series of a pipeline are registered with.
#[derive(Clone)]
pub(super) struct Source(pub(super) Option<OwnRecorder>);

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Source {
    fn with<T>(&self, ask: impl FnOnce(&dyn Recorder) -> T) -> T {
        match &self.0 {
            Some(recorder) => ask(recorder),
            None => with_recorder(ask),
        }
    }

    /// Describes every metric to the recorder.
    pub(super) fn describe(&self) {
        self.with(|recorder| {
            for metric in table::ALL {
                let (name, unit, about) = (metric.name.into(), Some(metric.unit), metric.about.into());
                match metric.instrument {
                    Instrument::Counter => recorder.describe_counter(name, unit, about),
                    Instrument::Gauge => recorder.describe_gauge(name, unit, about),
                    Instrument::Histogram => recorder.describe_histogram(name, unit, about),
                }
            }
        });
    }
}

/// The outcome of a call: the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Error(ErrorKind),
    /// The caller dropped the call.
    Left,
}

impl Outcome {
    const COUNT: usize = ErrorKind::ALL.len() + 2;

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error(kind) => kind.code(),
            Self::Left => "left",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Left => 1,
            Self::Error(kind) => kind as usize + 2,
        }
    }
}

/// Returns the label `effect`.
const fn effect_label(effect: Effect) -> &'static str {
    match effect {
        Effect::NotApplied => "not_applied",
        Effect::Applied => "applied",
        Effect::Unknown => "unknown",
    }
}

/// All series of a pipeline.
pub(super) struct Instruments {
    everyone: Arc<Series>,
    tenants: Option<Tenants>,
}

/// The series of a bounded number of tenants.
struct Tenants {
    most: usize,
    known: RwLock<HashMap<TenantId, Arc<Series>>>,
    source: Source,
}

/// The label of all tenants beyond the limit.
pub(super) const OTHER_TENANTS: &str = "_other";

impl Instruments {
    pub(super) fn new(source: Source, tenants: Option<usize>) -> Self {
        let everyone = Arc::new(Series::new(source.clone(), tenants.map(|_| OTHER_TENANTS.into())));
        let tenants = tenants.map(|most| Tenants { most, known: RwLock::default(), source });
        Self { everyone, tenants }
    }

    /// Returns the series of this tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<Series> {
        let Some(tenants) = &self.tenants else { return Arc::clone(&self.everyone) };
        if let Some(series) = tenants.known.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(series);
        }
        let mut known = tenants.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(tenant) && known.len() >= tenants.most {
            return Arc::clone(&self.everyone);
        }
        let make = || Arc::new(Series::new(tenants.source.clone(), Some(tenant.as_str().into())));
        Arc::clone(known.entry(tenant.clone()).or_insert_with(make))
    }
}

/// The series of one tenant, or of all tenants.
pub(super) struct Series {
    source: Source,
    tenant: Option<Arc<str>>,
    operations: [OnceLock<Box<OfOperation>>; OpKind::ALL.len()],
}

impl Series {
    fn new(source: Source, tenant: Option<Arc<str>>) -> Self {
        Self { source, tenant, operations: [const { OnceLock::new() }; OpKind::ALL.len()] }
    }

    /// Returns the series of an operation. Unused series are not registered, because an exporter would show all of
    /// them.
    pub(super) fn of(&self, kind: OpKind) -> Operation<'_> {
        let of = self.operations[kind as usize].get_or_init(Box::default);
        Operation { series: self, kind, of }
    }

    fn key(&self, metric: &Metric, values: &[&'static str]) -> Key {
        let mut labels: Vec<Label> = metric
            .labels
            .iter()
            .zip(values)
            .map(|(label, value)| Label::from_static_parts(label, value))
            .collect();
        labels.extend(self.tenant.as_ref().map(|tenant| Label::new("tenant", Arc::clone(tenant))));
        Key::from_parts(metric.name, labels)
    }

    fn counter(&self, metric: &Metric, values: &[&'static str]) -> Counter {
        let key = self.key(metric, values);
        self.source.with(|recorder| recorder.register_counter(&key, &METADATA))
    }
}

/// The registered handles of one operation.
#[derive(Default)]
struct OfOperation {
    in_flight: OnceLock<Gauge>,
    written: OnceLock<Counter>,
    replays: OnceLock<Counter>,
    retries: OnceLock<Counter>,
    durations: [OnceLock<Histogram>; Outcome::COUNT],
    calls: [[OnceLock<Counter>; 3]; Outcome::COUNT],
}

/// The handles of one operation, with the means to register new ones.
pub(super) struct Operation<'a> {
    series: &'a Series,
    kind: OpKind,
    of: &'a OfOperation,
}

impl Operation<'_> {
    pub(super) fn in_flight(&self) -> &Gauge {
        self.of.in_flight.get_or_init(|| {
            let key = self.series.key(&table::IN_FLIGHT, &[self.kind.as_str()]);
            self.series.source.with(|recorder| recorder.register_gauge(&key, &METADATA))
        })
    }

    pub(super) fn written(&self) -> &Counter {
        self.counter(&self.of.written, &table::WRITTEN)
    }

    pub(super) fn replays(&self) -> &Counter {
        self.counter(&self.of.replays, &table::REPLAYS)
    }

    pub(super) fn retries(&self) -> &Counter {
        self.counter(&self.of.retries, &table::RETRIES)
    }

    fn counter<'c>(&self, once: &'c OnceLock<Counter>, metric: &Metric) -> &'c Counter {
        once.get_or_init(|| self.series.counter(metric, &[self.kind.as_str()]))
    }

    pub(super) fn duration(&self, outcome: Outcome) -> &Histogram {
        self.of.durations[outcome.index()].get_or_init(|| {
            let key = self.series.key(&table::DURATION, &[self.kind.as_str(), outcome.as_str()]);
            self.series.source.with(|recorder| recorder.register_histogram(&key, &METADATA))
        })
    }

    pub(super) fn calls(&self, outcome: Outcome, effect: Effect) -> &Counter {
        self.of.calls[outcome.index()][effect as usize].get_or_init(|| {
            let values = [self.kind.as_str(), outcome.as_str(), effect_label(effect)];
            self.series.counter(&table::CALLS, &values)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_unique_index() {
        let mut outcomes = vec![Outcome::Ok, Outcome::Left];
        outcomes.extend(ErrorKind::ALL.iter().copied().map(Outcome::Error));
        let mut indexes: Vec<_> = outcomes.iter().map(|outcome| outcome.index()).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..Outcome::COUNT).collect::<Vec<_>>());
        let mut names: Vec<_> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Outcome::COUNT);
        for (index, kind) in OpKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn tenants_beyond_the_limit_share_one_label() {
        let instruments = Instruments::new(Source(None), Some(2));
        let of = |name: &str| instruments.of(&name.parse().unwrap());
        let tenant = |series: &Series| series.tenant.as_deref().map(str::to_owned);
        assert_eq!(tenant(&of("a")).as_deref(), Some("a"));
        assert_eq!(tenant(&of("b")).as_deref(), Some("b"));
        assert_eq!(tenant(&of("c")).as_deref(), Some(OTHER_TENANTS));
        assert_eq!(tenant(&of("a")).as_deref(), Some("a"));
        assert!(Arc::ptr_eq(&of("c"), &of("d")));
        let together = Instruments::new(Source(None), None);
        assert_eq!(tenant(&together.of(&"a".parse().unwrap())), None);
    }
}
