//! Laws for layers: what a layer of anybody's has to keep to, in a real stack over the memory backend.
//!
//! The whole of what the author of a layer writes is where it stands, and one line, in a test target with
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
//! The macro takes a [`Plugin`](throughline_core::Plugin) as well. Several layers that are meant to stand in one stack are a [`LayerSet`]: each alone, every pair, and all together.
//!
//! A probe stands on either side of the layer: the laws are about what passes between them.

mod answers;
mod bench;
mod difference;
mod filled;
mod fixture;
#[doc(hidden)]
pub mod given;
mod harness;
mod law;
mod operations;
mod probe;
mod progress;
mod rules;
mod set;
mod stream;

#[cfg(test)]
pub(crate) use self::law::of_streams_and_searches;
pub use self::{
    fixture::{Addition, Around, LayerFixture, LayerProfile},
    harness::{assert_kept, broken, main},
    law::Law,
    operations::every_operation,
    probe::{Probe, ProbeFuture, ProbeService},
    set::LayerSet,
};
pub(crate) use self::{
    harness::{Subject as LayerSubject, run as run_law},
    law::all,
};
