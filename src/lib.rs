#![doc = include_str!("../README.md")]

pub use throughline_core::*;
/// A store in memory: for tests, and for drafts that may be lost.
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

/// The programs of the guide, so that they are compiled and run.
#[cfg(all(doctest, feature = "transfer", feature = "sqlite"))]
#[doc = include_str!("../docs/guide/import.md")]
mod import_guide {}

#[cfg(all(doctest, feature = "mirror", feature = "sqlite", feature = "memory"))]
#[doc = include_str!("../docs/guide/moving-a-store.md")]
mod moving_guide {}
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/guide/postgres.md")]
mod postgres_guide {}

#[cfg(all(doctest, feature = "encrypt", feature = "sqlite"))]
#[doc = include_str!("../docs/guide/encryption.md")]
mod encryption_guide {}

#[cfg(all(doctest, feature = "audit", feature = "sqlite"))]
#[doc = include_str!("../docs/guide/audit.md")]
mod audit_guide {}

#[cfg(all(doctest, feature = "layers", feature = "memory"))]
#[doc = include_str!("../docs/guide/observability.md")]
mod observability_guide {}

#[cfg(all(doctest, feature = "layers", feature = "memory"))]
#[doc = include_str!("../docs/guide/writing-a-layer.md")]
mod layer_guide {}

#[cfg(all(doctest, feature = "memory"))]
#[doc = include_str!("../docs/guide/writing-a-backend.md")]
mod backend_guide {}

#[cfg(all(doctest, feature = "layers", feature = "memory", feature = "sqlite"))]
#[doc = include_str!("../docs/guide/limits-and-guards.md")]
mod limits_and_guards_guide {}
