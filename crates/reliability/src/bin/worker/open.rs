//! Opens one store after another.

use std::{
    io::{self, BufRead as _},
    time::Instant,
};

use throughline_core::Persistence;
use throughline_reliability::{acks::message, worker::Job};

use crate::{Outcome, interfere};

/// Opens, writes to and closes the store at each path of the input, and prints the microseconds that opening took.
pub(crate) async fn open(job: &Job) -> Outcome {
    for line in io::stdin().lock().lines() {
        let begun = Instant::now();
        let backend = interfere::options(job).open(line?).await?;
        let opened = begun.elapsed();
        let db = Persistence::builder().backend(backend).build()?;
        db.thread("opened").add(message(&job.process)).await?;
        db.close().await?;
        println!("{}", opened.as_micros());
    }
    Ok(())
}
