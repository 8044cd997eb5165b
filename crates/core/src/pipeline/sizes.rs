//! How large is what a call moves from layer to layer: every layer pays for it, on the way down and on the way up.

use super::{Execution, GuardedFuture, erased::BoxFuture};
use crate::{
    Context, PersistArgs, PersistRequest, PersistResponse, PersistResult, Result,
    context::{CallState, Shape},
};

type Rest = BoxFuture<'static, Result<PersistResponse>>;

#[track_caller]
fn at_most<T>(bytes: usize) {
    let size = size_of::<T>();
    assert!(size <= bytes, "{} takes {size} bytes, and {bytes} are allowed", std::any::type_name::<T>());
}

#[test]
fn what_goes_through_the_layers_does_not_grow() {
    at_most::<Context>(24);
    at_most::<PersistArgs>(168);
    at_most::<PersistRequest>(192);
    // The answers about sessions are the largest by far.
    at_most::<PersistResult>(392);
    at_most::<PersistResponse>(416);
    // An answer says by itself whether there is one, and whether it is one.
    assert_eq!(size_of::<std::task::Poll<Result<PersistResponse>>>(), size_of::<PersistResponse>());
}

#[test]
fn what_is_kept_of_a_call_does_not_grow() {
    at_most::<Shape>(144);
    at_most::<CallState>(376);
    // With the ticket of a task whose calls are let in while the pipeline closes.
    at_most::<Execution>(280);
}

#[test]
fn the_guard_of_a_layer_adds_little_to_the_future_of_a_call() {
    at_most::<GuardedFuture<Rest>>(40);
}
