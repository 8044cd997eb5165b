//! Measures the bytes that each layer adds to the future of a call, which are moved on the way in and out.
#![cfg(all(feature = "limits", feature = "retry", feature = "timeout", feature = "trace"))]

use std::{future::Future, pin::Pin};

use throughline_core::{PersistResponse, Result, pipeline::SharedService};
use throughline_layers::{
    limits::LimitsFuture,
    retry::RetryFuture,
    timeout::TimeoutFuture,
    trace::{DefaultHooks, TraceFuture},
};

type Inner = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

#[track_caller]
fn at_most<T>(bytes: usize) {
    let size = size_of::<T>();
    assert!(size <= bytes, "{} takes {size} bytes, and {bytes} are allowed", std::any::type_name::<T>());
}

#[test]
fn each_layer_adds_few_bytes_to_the_future_of_a_call() {
    // Includes the content limit in the answer to a reservation.
    at_most::<LimitsFuture<Inner>>(24);
    at_most::<TraceFuture<Inner, DefaultHooks>>(112);
    // The request for another attempt, and a timer for the attempt.
    at_most::<RetryFuture<SharedService>>(344);
    at_most::<TimeoutFuture<Inner>>(160);
}
