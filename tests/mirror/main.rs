//! Tests of the mirror: copies of a store, their comparison, and switchovers under a live host.

mod audited;
mod compared;
mod contended;
mod copied;
mod damaged;
mod during_switchover;
#[cfg(feature = "postgres")]
mod engines;
#[cfg(feature = "postgres")]
mod everything;
mod failing;
mod feed_positions;
mod finds;
#[cfg(feature = "postgres")]
mod full_text_postgres;
mod full_text_sqlite;
mod imported;
mod killed;
#[cfg(feature = "postgres")]
mod moved;
mod numbers;
mod partial_copy;
#[cfg(feature = "postgres")]
mod server;
mod support;
mod switched;
