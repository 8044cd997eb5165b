//! The guarantees of each layer beyond the layer laws, over both stores.

mod audit;
mod bulk_gate;
mod captured;
mod chaos;
mod disk_guard;
mod encrypt;
mod finds;
mod idempotency;
mod kit;
mod metrics;
mod open_telemetry;
mod quota;
mod recorder;
mod redact;
mod scope;
mod serialize;
mod slow_log;
mod take_last;
mod transform;
