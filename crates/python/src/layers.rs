//! The layers of the framework, from the options of `throughline.layers`.

use std::{sync::Arc, time::Duration};

use pyo3::prelude::*;
use serde::Deserialize;
use throughline::{
    ErrorKind, OpKind, Result,
    layers::{
        audit::{AuditKey, AuditLayer},
        bulk_gate::BulkGateLayer,
        chaos::{ChaosLayer, Fault, Rule},
        disk_guard::{Directory, DiskGuardLayer},
        encrypt::{EncryptLayer, Key, KeyId, KeyRing},
        idempotency::RequireKeyLayer,
        limits::LimitsLayer,
        metrics::MetricsLayer,
        quota::{Quota, QuotaLayer},
        redact::{RedactLayer, Rules},
        retry::RetryLayer,
        scope::{self, Authority, ScopeLayer},
        serialize::SerializeLayer,
        slow_log::SlowLogLayer,
        timeout::TimeoutLayer,
        trace::TraceLayer,
    },
    pipeline::LayerList,
};

use crate::{error::invalid, error::raise, logs, metrics::Meters};

/// A layer and its options.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum LayerOptions {
    Limits {
        content_bytes: Option<usize>,
        metadata_bytes: Option<usize>,
        depth: Option<usize>,
        attachments: Option<usize>,
        batch_items: Option<usize>,
        batch_bytes: Option<usize>,
    },
    Quota {
        operations: Option<(u64, u64)>,
        bytes: Option<(u64, u64)>,
    },
    DiskGuard {
        path: String,
        low: u64,
        high: u64,
        every: f64,
    },
    BulkGate {
        at_once: Option<usize>,
        max_live_writes: Option<usize>,
        quiet: Option<f64>,
        longest: Option<f64>,
        waiting: Option<usize>,
        batch_items: Option<usize>,
    },
    Scope {},
    Idempotency {
        kinds: Option<Vec<OpKind>>,
    },
    Serialize {},
    Audit {
        key: String,
    },
    Trace {},
    Metrics {
        tenants: Option<usize>,
    },
    SlowLog {
        threshold: f64,
        #[serde(default)]
        thresholds: std::collections::BTreeMap<String, f64>,
    },
    Redact {
        secrets: bool,
        #[serde(default)]
        patterns: std::collections::BTreeMap<String, String>,
        #[serde(default)]
        literals: std::collections::BTreeMap<String, String>,
        #[serde(default)]
        fields: Vec<String>,
        entropy: Option<f64>,
    },
    Encrypt {
        key: String,
        key_id: String,
        #[serde(default)]
        old_keys: std::collections::BTreeMap<String, String>,
        accept_plaintext: bool,
    },
    Retry {
        attempts: Option<u32>,
        backoff: Option<(f64, f64)>,
        budget: Option<(u32, u32)>,
    },
    Timeout {
        limit: f64,
    },
    Chaos {
        seed: u64,
        faults: Vec<FaultOptions>,
    },
}

/// A fault of the layer `chaos`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct FaultOptions {
    name: String,
    fault: String,
    error: ErrorKind,
    seconds: f64,
    on: Option<OpKind>,
    threads: Option<String>,
    nth: Option<u64>,
    probability: Option<f64>,
}

/// The parts of the layers that a host uses after the store is open.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) authority: Option<Authority>,
    pub(crate) meters: Option<Meters>,
}

impl LayerOptions {
    /// Whether the layer computes on content, so that its calls run on the threads of the runtime.
    pub(crate) const fn is_heavy(&self) -> bool {
        matches!(
            self,
            Self::Audit { .. }
                | Self::Redact { .. }
                | Self::Encrypt { .. }
                | Self::Chaos { .. }
                | Self::DiskGuard { .. }
        )
    }

    /// Adds the layer to a list.
    pub(crate) fn add_to(self, list: LayerList, parts: &mut Parts) -> Result<LayerList> {
        Ok(match self {
            Self::Limits { content_bytes, metadata_bytes, depth, attachments, batch_items, batch_bytes } => {
                let mut layer = LimitsLayer::new();
                layer = set(layer, content_bytes, LimitsLayer::content_bytes);
                layer = set(layer, metadata_bytes, LimitsLayer::metadata_bytes);
                layer = set(layer, depth, LimitsLayer::depth);
                layer = set(layer, attachments, LimitsLayer::attachments);
                layer = set(layer, batch_items, LimitsLayer::batch_items);
                list.with(set(layer, batch_bytes, LimitsLayer::batch_bytes))
            }
            Self::Quota { operations, bytes } => {
                let mut quota = Quota::new();
                quota = set(quota, operations, |quota, (rate, burst)| quota.operations(rate, burst));
                list.with(QuotaLayer::new(set(quota, bytes, |quota, (rate, burst)| quota.bytes(rate, burst))))
            }
            Self::DiskGuard { path, low, high, every } => {
                list.with(DiskGuardLayer::new(Directory::new(path), low, high).every(seconds(every)?))
            }
            Self::BulkGate { at_once, max_live_writes, quiet, longest, waiting, batch_items } => {
                let mut layer = BulkGateLayer::new();
                layer = set(layer, at_once, BulkGateLayer::at_once);
                layer = set(layer, max_live_writes, BulkGateLayer::max_live_writes);
                layer = set(layer, quiet.map(seconds).transpose()?, BulkGateLayer::quiet);
                layer = set(layer, longest.map(seconds).transpose()?, BulkGateLayer::longest);
                layer = set(layer, waiting, BulkGateLayer::waiting);
                list.with(set(layer, batch_items, BulkGateLayer::batch_items))
            }
            Self::Scope {} => {
                let layer = ScopeLayer::new();
                parts.authority = Some(layer.authority());
                list.with(layer)
            }
            Self::Idempotency { kinds: Some(kinds) } => list.with(RequireKeyLayer::of(kinds)),
            Self::Idempotency { kinds: None } => list.with(RequireKeyLayer::when(|_| true)),
            Self::Serialize {} => list.with(SerializeLayer::new()),
            Self::Audit { key } => list.with(AuditLayer::new(AuditKey::new(&secret(&key)?))),
            Self::Trace {} => {
                logs::start();
                list.with(TraceLayer::new())
            }
            Self::Metrics { tenants } => {
                let meters = Meters::default();
                let layer = MetricsLayer::with_recorder(meters.clone());
                parts.meters = Some(meters);
                list.with(set(layer, tenants, MetricsLayer::with_tenants))
            }
            Self::SlowLog { threshold, thresholds } => {
                logs::start();
                let mut layer = SlowLogLayer::new(seconds(threshold)?);
                for (kind, threshold) in thresholds {
                    layer = layer.threshold(kind_of(&kind)?, seconds(threshold)?);
                }
                list.with(layer)
            }
            Self::Redact { secrets, patterns, literals, fields, entropy } => {
                let mut rules = if secrets { Rules::secrets() } else { Rules::none() };
                for (name, pattern) in patterns {
                    rules = rules.pattern(name, pattern);
                }
                for (name, literal) in literals {
                    rules = rules.literal(name, &literal);
                }
                for field in fields {
                    rules = rules.field(&field);
                }
                let rules = set(rules, entropy, Rules::entropy);
                list.with(
                    RedactLayer::with_rules(rules).map_err(|error| invalid(format!("Redact: {error}")))?,
                )
            }
            Self::Encrypt { key, key_id, old_keys, accept_plaintext } => {
                let key_ring = KeyRing::new(Key::new(KeyId::new(key_id)?, &secret(&key)?));
                for (id, key) in old_keys {
                    key_ring.add(Key::new(KeyId::new(id)?, &secret(&key)?))?;
                }
                let layer = EncryptLayer::new(key_ring);
                list.with(if accept_plaintext { layer.accept_plaintext() } else { layer })
            }
            Self::Retry { attempts, backoff, budget } => {
                let mut layer = set(RetryLayer::new(), attempts, RetryLayer::attempts);
                if let Some((shortest, longest)) = backoff {
                    layer = layer.backoff(seconds(shortest)?, seconds(longest)?);
                }
                list.with(set(layer, budget, |layer, (percent, reserve)| layer.budget(percent, reserve)))
            }
            Self::Timeout { limit } => list.with(TimeoutLayer::new(seconds(limit)?)),
            Self::Chaos { seed, faults } => {
                let mut layer = ChaosLayer::seeded(seed);
                for fault in faults {
                    layer = layer.rule(fault.rule()?);
                }
                list.with(layer)
            }
        })
    }
}

impl FaultOptions {
    fn rule(self) -> Result<Rule> {
        let Self { name, fault, error, seconds: delay, on, threads, nth, probability } = self;
        let fault = match fault.as_str() {
            "before" => Fault::before(error),
            "after" => Fault::after(error),
            "lost_answer" => Fault::lost_answer(error),
            "delay" => Fault::delay(seconds(delay)?),
            "hang" => Fault::hang(),
            "hang_after" => Fault::hang_after(),
            "panic" => Fault::panic(),
            "panic_after" => Fault::panic_after(),
            other => return Err(invalid(format!("Chaos: there is no fault {other:?}"))),
        };
        let mut rule = set(Rule::new(name, fault), on, Rule::on);
        rule = set(rule, threads, Rule::in_threads);
        rule = set(rule, nth, Rule::nth);
        Ok(set(rule, probability, Rule::with_probability))
    }
}

/// Applies an option that is set.
pub(crate) fn set<T, V>(target: T, value: Option<V>, apply: impl FnOnce(T, V) -> T) -> T {
    match value {
        Some(value) => apply(target, value),
        None => target,
    }
}

fn kind_of(name: &str) -> Result<OpKind> {
    let found = OpKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    found.ok_or_else(|| invalid(format!("there is no operation {name:?}")))
}

/// Takes a number of seconds.
pub(crate) fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| invalid(format!("{seconds} is no number of seconds: {error}")))
}

/// Takes 32 bytes in hexadecimal digits.
fn secret(hex: &str) -> Result<[u8; 32]> {
    let mut secret = [0; 32];
    let digits = hex.as_bytes().chunks_exact(2);
    if hex.len() == 64 {
        for (byte, digits) in secret.iter_mut().zip(digits) {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(text, 16).map_err(|_| invalid("a key has 32 bytes"))?;
        }
        return Ok(secret);
    }
    Err(invalid("a key has 32 bytes"))
}

/// A permission for a part of a store.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Capability(pub(crate) Arc<scope::Capability>);

#[pymethods]
impl Capability {
    fn of_tenant(&self, py: Python<'_>, tenant: &str) -> PyResult<Self> {
        let tenant = tenant.parse().map_err(|error| raise(py, &throughline::PersistError::from(error)))?;
        Ok(Self(Arc::new(self.0.of_tenant(tenant))))
    }

    fn in_thread(&self, py: Python<'_>, thread: &str) -> PyResult<Self> {
        let thread = thread.parse().map_err(|error| raise(py, &throughline::PersistError::from(error)))?;
        Ok(Self(Arc::new(self.0.in_thread(thread))))
    }

    fn in_threads_under(&self, prefix: &str) -> Self {
        Self(Arc::new(self.0.in_threads_under(prefix)))
    }

    fn read_only(&self) -> Self {
        Self(Arc::new(self.0.read_only()))
    }

    fn append_only(&self) -> Self {
        Self(Arc::new(self.0.append_only()))
    }

    fn expiring_in(&self, py: Python<'_>, seconds: f64) -> PyResult<Self> {
        let time = self::seconds(seconds).map_err(|error| raise(py, &error))?;
        Ok(Self(Arc::new(self.0.expiring_in(time))))
    }

    #[getter]
    fn is_live(&self) -> bool {
        self.0.is_live()
    }
}
