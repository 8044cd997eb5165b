use std::time::Duration;

use throughline::{
    Backend, Persistence,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
};

use crate::Failure;

/// Builds the default stack over a store.
pub(crate) fn over(backend: impl Backend) -> Result<Persistence, Failure> {
    Ok(Persistence::builder()
        .deadline(Duration::from_secs(60))
        .layer(LimitsLayer::new())
        .layer(TraceLayer::new())
        .layer(RetryLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .backend(backend)
        .build()?)
}
