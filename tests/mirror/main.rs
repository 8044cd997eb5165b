//! A second store: copied, followed, compared, and made the first under a live host.

mod audited;
mod compared;
mod contended;
mod copied;
mod damaged;
#[cfg(feature = "postgres")]
mod engines;
#[cfg(feature = "postgres")]
mod everything;
mod failing;
mod halfway;
mod held;
mod indexed;
mod killed;
#[cfg(feature = "postgres")]
mod moved;
mod numbers;
#[cfg(feature = "postgres")]
mod server;
mod silent;
mod support;
mod switched;
#[cfg(feature = "postgres")]
mod words;
