//! Tests of the sizes of values that pass through the layers. Every layer moves them, in both directions.

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
fn values_that_pass_through_the_layers_do_not_grow() {
    at_most::<Context>(24);
    at_most::<PersistArgs>(168);
    at_most::<PersistRequest>(192);
    // `memcpy` copies up to 256 bytes without a loop, so larger fields of rare answers are in boxes.
    at_most::<PersistResult>(216);
    at_most::<PersistResponse>(240);
    // `Poll` and `Result` must need no extra bytes.
    assert_eq!(size_of::<std::task::Poll<Result<PersistResponse>>>(), size_of::<PersistResponse>());
}

#[test]
fn the_stored_state_of_a_call_does_not_grow() {
    at_most::<Shape>(144);
    // With the pointer by which a feed learns which changes the store reads for it.
    at_most::<CallState>(384);
    // With the guard of a detached task whose calls are admitted while the pipeline closes.
    at_most::<Execution>(280);
}

#[test]
fn the_guard_of_a_layer_adds_little_to_the_future_of_a_call() {
    at_most::<GuardedFuture<Rest>>(40);
}
