//! Laws for layers: the guarantees that any layer must keep, checked in a real stack over the memory backend.
//!
//! The author of a layer writes its position in the stack and one line, in a test target with
//! `harness = false`:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use throughline_conformance::laws::{self, Around, LayerProfile};
//! use throughline_layers::trace::TraceLayer;
//!
//! fn main() -> ExitCode {
//!     laws::main(vec![Box::new((LayerProfile::transparent("trace"), |around: &Around| {
//!         around.outside().layer(TraceLayer::new()).layer(around.inside()).backend(around.backend()).build()
//!     }))])
//! }
//! ```
//!
//! Inside an ordinary test, next to others, it is one line ([`layer_laws!`](crate::layer_laws)):
//!
//! ```
//! use throughline_conformance::{layer_laws, laws::LayerProfile};
//! use throughline_layers::trace::TraceLayer;
//!
//! layer_laws!(LayerProfile::transparent("trace") => TraceLayer::new());
//! ```
//!
//! The macro also takes a [`Plugin`](throughline_core::Plugin). Several layers of one stack are a [`LayerSet`]: each alone, every pair, and all together.
//!
//! The layer runs between two probes: the laws check the calls and answers that pass between them.

#[cfg(test)]
mod absent;
mod answers;
mod bench;
mod difference;
mod every_field;
mod fixture;
mod harness;
mod law;
#[doc(hidden)]
pub mod macro_support;
mod operations;
mod probe;
mod progress;
mod rules;
mod set;
mod stream;

pub(crate) use self::{
    bench::takes_keys,
    harness::{Subject as LayerSubject, run as run_law},
    law::{all, with_a_layer_of_their_own},
};
pub use self::{
    fixture::{Addition, Around, LayerFixture, LayerProfile},
    harness::{assert_kept, broken, main},
    law::Law,
    operations::every_operation,
    probe::{Probe, ProbeFuture, ProbeService},
    set::LayerSet,
};
