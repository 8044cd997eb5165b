//! A second store: copied, followed, compared, and made the first under a live host.

mod audited;
mod compared;
mod contended;
mod copied;
mod damaged;
mod killed;
mod support;
mod switched;
