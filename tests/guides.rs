//! Compiles and runs the programs of the guides as documentation tests.

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/host.md")]
mod host_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/layers.md")]
mod layers_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/import.md")]
mod import_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/ndjson.md")]
mod ndjson_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/moving-a-store.md")]
mod moving_guide {}

#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/guide/postgres.md")]
mod postgres_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/encryption.md")]
mod encryption_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/audit.md")]
mod audit_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/observability.md")]
mod observability_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/writing-a-layer.md")]
mod layer_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/writing-a-backend.md")]
mod backend_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/limits-and-guards.md")]
mod limits_and_guards_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/threads.md")]
mod threads_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/streaming.md")]
mod streaming_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/sessions.md")]
mod sessions_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/effects.md")]
mod effects_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/redact.md")]
mod redact_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/sqlite.md")]
mod sqlite_guide {}
