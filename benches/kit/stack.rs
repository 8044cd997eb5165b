use std::{path::Path, time::Duration};

use throughline::{
    Persistence,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
    sqlite::SqliteBackend,
};

use crate::Failure;

/// Opens the whole default stack over a file.
pub(crate) async fn open(path: &Path) -> Result<Persistence, Failure> {
    Ok(Persistence::builder()
        .deadline(Duration::from_secs(60))
        .layer(LimitsLayer::new())
        .layer(TraceLayer::new())
        .layer(RetryLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(30)))
        .backend(SqliteBackend::open(path).await?)
        .build()?)
}
