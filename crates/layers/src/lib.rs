//! The layers of Throughline, each in its own module behind its own feature.
//!
//! | layer | phase | does | fails |
//! |---|---|---|---|
//! | [`limits`] | Admit | refuses calls that are too large, too deep or too many in one batch | closed |
//! | [`quota`] | Admit | limits the rate and the stored bytes of each tenant | closed |
//! | [`disk_guard`] | Admit | refuses growing writes before the disk is full | open |
//! | [`bulk_gate`] | Admit | delays bulk work while live writes run | closed |
//! | [`scope`] | Guard | refuses calls outside of their capability | closed |
//! | [`idempotency`] | Guard | refuses writes without an idempotency key | closed |
//! | [`serialize`] | Guard | runs the writes of one thread one at a time | closed |
//! | [`audit`] | Observe | keeps a tamper-evident audit log in the store | closed |
//! | [`trace`] | Observe | emits a span and events for each call | open |
//! | [`metrics`] | Observe | records counters, gauges and histograms of calls | open |
//! | [`slow_log`] | Observe | logs a warning for each slow call | open |
//! | [`redact`] | Transform | removes secrets from the stored copy | closed |
//! | [`encrypt`] | Transform | encrypts content, metadata and titles on the way to the store | closed |
//! | [`retry`] | Route | repeats calls with transient errors | as the last attempt |
//! | [`timeout`] | Route | ends an attempt that takes too long | as an unknown outcome |
//! | [`chaos`] | Route | injects faults from a seed, for tests | as configured |
//!
//! The phases order the layers: limits are outside trace, and retry is outside the timeout of an attempt.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "audit")]
pub mod audit;
#[cfg(feature = "bulk-gate")]
pub mod bulk_gate;
#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(feature = "disk-guard")]
pub mod disk_guard;
#[cfg(feature = "encrypt")]
pub mod encrypt;
#[cfg(any(feature = "bulk-gate", feature = "disk-guard"))]
mod entry;
#[cfg(feature = "idempotency")]
pub mod idempotency;
#[cfg(feature = "limits")]
pub mod limits;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(any(feature = "limits", feature = "quota", feature = "idempotency", feature = "scope"))]
mod passage;
#[cfg(feature = "quota")]
pub mod quota;
#[cfg(feature = "redact")]
pub mod redact;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "scope")]
pub mod scope;
#[cfg(feature = "serialize")]
pub mod serialize;
#[cfg(feature = "slow-log")]
pub mod slow_log;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "trace")]
pub mod trace;
pub mod transform;
