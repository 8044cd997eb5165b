#![doc = include_str!("../README.md")]

pub use throughline_core::*;
/// A store in memory: for tests, and the reference that other backends are held against.
#[cfg(feature = "memory")]
pub use throughline_memory as memory;
/// Many hosts, one store: a Postgres database.
#[cfg(feature = "postgres")]
pub use throughline_postgres as postgres;
/// The embedded default: one durable SQLite file.
#[cfg(feature = "sqlite")]
pub use throughline_sqlite as sqlite;
/// Conversations in from other programs' files, and out again.
#[cfg(feature = "transfer")]
pub use throughline_transfer as transfer;
