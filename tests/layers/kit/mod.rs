//! What the checks of layers are made with.
//!
//! A layer's checks are functions over a stack with the layer in it. They are run on the layer, which has to pass them all, and
//! on broken variants of it, each of which has to fail exactly the checks that are named for it.

mod broken;
mod check;
mod valve;

pub(crate) use self::{
    broken::{Forgets, Skips, Stays},
    check::{Check, checks, failing},
    valve::Valve,
};

/// Lets every task go on as far as it can.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
