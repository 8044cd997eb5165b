//! The engine over the rows of a small store.

mod atomic;
mod consumers;
mod content;
mod repair;
mod replay;
mod round_trips;
mod store;
mod tails;
mod threads;
