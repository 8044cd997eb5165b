//! The layers that come with the framework, one folder and one feature each.
//!
//! | layer | phase | does | fails |
//! |---|---|---|---|
//! | [`limits`] | Admit | refuses what is too large, too deep or too much at once | closed |
//! | [`quota`] | Admit | keeps each tenant to its operations and bytes | closed |
//! | [`disk_guard`] | Admit | refuses what would fill the disk | open |
//! | [`bulk_gate`] | Admit | lets live turns go before bulk work | closed |
//! | [`scope`] | Guard | refuses what the capability of a call does not allow | closed |
//! | [`idempotency`] | Guard | refuses writes that need a key and have none | closed |
//! | [`serialize`] | Guard | lets the writes of one thread go on one after the other | closed |
//! | [`audit`] | Observe | has the store keep a log of who did what, that nobody can change unseen | closed |
//! | [`trace`] | Observe | a span and events for each call | open |
//! | [`metrics`] | Observe | counters, gauges and histograms of calls | open |
//! | [`slow_log`] | Observe | a warning for each call that took long | open |
//! | [`redact`] | Transform | keeps secrets out of the stored copy | closed |
//! | [`encrypt`] | Transform | encrypts content, metadata and titles, and decrypts them again | closed |
//! | [`retry`] | Route | repeats what failed and passes with time | as the last attempt |
//! | [`timeout`] | Route | ends one attempt that takes too long | as an unknown outcome |
//! | [`chaos`] | Route | faults from a seed, for tests | as it is told |
//!
//! The order of the phases puts them right: limits outside trace, retry outside the timeout of an attempt.

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
