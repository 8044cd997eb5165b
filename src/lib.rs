#![doc = include_str!("../README.md")]

pub use throughline_core::*;
/// A store in memory: for tests, and the reference that other backends are held against.
#[cfg(feature = "memory")]
pub use throughline_memory as memory;
/// The embedded default: one durable SQLite file.
#[cfg(feature = "sqlite")]
pub use throughline_sqlite as sqlite;
