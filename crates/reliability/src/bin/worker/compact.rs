//! Gives the free pages of a store back.

use throughline_core::Persistence;
use throughline_reliability::worker::Job;

use crate::{Outcome, interfere};

/// Prints the bytes that are given back before each step, and at the end those that a reader holds.
pub(crate) async fn compact(job: &Job) -> Outcome {
    let backend = interfere::options(job).open(&job.store).await?;
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build()?;
    let done = maintenance.compact(|so_far| println!("{}", so_far.returned_bytes)).await?;
    println!("held {}", done.held_bytes);
    db.close().await?;
    Ok(())
}
