//! Injects faults from a seed, so that a host can test how its code handles failed, delayed, hanging and panicking
//! writes.
//!
//! **Not for production.** `describe()` shows this for every pipeline with the layer.
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
//! | fault | forwards the call | result for the caller |
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
//! A fault after the call changes answers only: an error of an inner layer is returned unchanged. A read never applies
//! anything, and its error says so.
//!
//! # The same faults again
//! The layer numbers calls by tenant, thread and kind in arrival order, from 1. A rule depends only on the seed, its
//! name, these three and the number. So sequential calls of one kind in one thread always get the same faults, whatever
//! other threads do meanwhile. Overlapping calls of one kind in one thread get the same numbers and the same count of
//! faults, but in an order that may differ. Each attempt of an outer retry is a separate call, and so is a call that
//! its caller drops.
//!
//! The layer keeps one number for every thread that it has seen, for its whole life.

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
