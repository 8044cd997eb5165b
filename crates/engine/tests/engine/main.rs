//! The engine over the rows of a small store.

mod atomic;
mod consumers;
mod content;
mod finds;
mod repair;
mod replay;
mod round_trips;
mod store;
mod tails;
mod threads;
