//! The process that the checks kill, stop and start several times concurrently. See
//! `throughline_reliability::worker`.

mod compact;
mod interfere;
mod open;
mod repeat;
mod write;

use std::{error::Error, io};

use throughline_core::Persistence;
use throughline_layers::audit::AuditLayer;
use throughline_reliability::{
    vfs::{self, Lie},
    worker::{Job, Work, audit_key},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome {
    let job = Job::from_args()?;
    if job.lie != Lie::None {
        vfs::install().lie(job.lie);
    }
    match job.work {
        Work::Write => write::write(job).await,
        Work::Repeat => repeat::repeat(job).await,
        Work::Compact => compact::compact(&job).await,
        Work::Open => open::open(&job).await,
    }
}

/// Opens the store of the job, prints `open`, and waits for a line if the job says so.
async fn opened(job: &Job) -> Outcome<Persistence> {
    let backend = interfere::options(job).open(&job.store).await?;
    let log = job.audited.then(|| AuditLayer::new(audit_key()));
    let db = Persistence::builder().layer_when(log).backend(backend).build()?;
    println!("open");
    if job.waits {
        io::stdin().read_line(&mut String::new())?;
    }
    Ok(match job.deadline {
        Some(deadline) => db.with_deadline(deadline),
        None => db,
    })
}
