//! Faults from a seed, for the tests of a host: what its code does when a write fails, waits, hangs or panics.
//!
//! **Not for production.** `describe()` says so of every pipeline that has it.
//!
//! ```
//! # use throughline_core::{Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{Effect, ErrorKind, NewMessage, OpKind, Persistence};
//! use throughline_layers::{chaos::{ChaosLayer, Fault, Rule}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let chaos = ChaosLayer::seeded(42)
//!     .rule(Rule::new("first-add", Fault::before(ErrorKind::Busy)).on(OpKind::Add).nth(1))
//!     .rule(Rule::new("lost", Fault::lost_answer(ErrorKind::Unavailable)).with_probability(0.01));
//! let counts = chaos.counts();
//! let db = Persistence::builder().layer(chaos).backend(Nowhere).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied));
//! assert_eq!(error.site().unwrap().name(), "chaos");
//! assert_eq!((counts.fired("first-add"), counts.never_fired()), (1, vec!["lost".to_owned()]));
//! assert!(db.describe().to_string().contains("not for production"));
//! # Ok(())
//! # }
//! ```
//!
//! # Faults
//! | fault | is passed on | its caller gets |
//! |---|---|---|
//! | [`Fault::before`] | no | the error, nothing applied |
//! | [`Fault::after`] | yes | the error, applied |
//! | [`Fault::lost_answer`] | yes | the error, outcome unknown |
//! | [`Fault::delay`] | later | the answer |
//! | [`Fault::hang`] | no | nothing, or a deadline's error |
//! | [`Fault::hang_after`] | yes | nothing, or a deadline's error |
//! | [`Fault::panic`] | no | `Panicked` |
//! | [`Fault::panic_after`] | yes | `Panicked` |
//!
//! A fault after the call touches answers alone: an error from inside comes out as it is. Of a read nothing is ever
//! applied, and its error says so.
//!
//! # The same faults again
//! Calls are numbered by tenant, thread and kind, in the order in which they come to the layer, from 1. Whether a rule
//! fires depends on nothing but the seed, its name, these three and the number. So as long as the calls of one kind in
//! one thread follow each other, the same calls get the same faults, whatever other threads do at the same time. Where
//! calls of one kind in one thread overlap, the same numbers are hit, and the number of faults is the same. An attempt of a
//! retry further out is a call of its own; so is one whose caller leaves.
//!
//! It keeps one number for every thread that it has seen, for as long as it lives.

mod counts;
mod fault;
mod future;
mod layer;
mod rule;
mod service;

pub use self::{
    counts::ChaosCounts, fault::Fault, future::ChaosFuture, layer::ChaosLayer, rule::Rule,
    service::ChaosService,
};
