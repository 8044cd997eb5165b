//! The tools for checks of layers.
//!
//! A check is a function over a stack that contains the layer. The layer must pass all its checks, and each broken
//! variant must fail exactly the checks that are named for it.

mod blocking_layer;
mod broken;
mod check;

pub(crate) use self::{
    blocking_layer::BlockingLayer,
    broken::{Bypassed, Detached, Stateless},
    check::{Check, checks, failing},
};

/// Runs all tasks until they wait.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
