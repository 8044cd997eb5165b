#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use throughline_core::*;
/// Consumers that follow the changes, each from a durable cursor of its own.
#[cfg(feature = "effects")]
pub use throughline_effects as effects;
/// The layers that come with the framework, one module and one feature each.
#[cfg(feature = "transform")]
pub use throughline_layers as layers;
/// A store in memory: for tests, and for drafts that may be lost.
#[cfg(feature = "memory")]
pub use throughline_memory as memory;
/// A second store that follows the first, and the switchover between them.
#[cfg(feature = "mirror")]
pub use throughline_mirror as mirror;
/// Many hosts, one store: a Postgres database.
#[cfg(feature = "postgres")]
pub use throughline_postgres as postgres;
/// Runs of agents: each begins under a lease, resumes a session, and ends once.
#[cfg(feature = "session-runs")]
pub use throughline_session_runs as runs;
/// The embedded default: one durable SQLite file.
#[cfg(feature = "sqlite")]
pub use throughline_sqlite as sqlite;
/// Conversations in from other programs' files, and out again.
#[cfg(feature = "transfer")]
pub use throughline_transfer as transfer;
