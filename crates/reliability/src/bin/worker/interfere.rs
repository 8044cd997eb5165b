//! The faults that happen to this process inside the writer.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rustix::process::{Signal, getpid, kill_process};
use throughline_reliability::worker::{Interference, Job, Then};
use throughline_sqlite::{Failpoint, SqliteOptions};

/// The SQLite error code of a failed `fsync`.
const FSYNC_FAILED: i32 = 1034;

pub(crate) fn options(job: &Job) -> SqliteOptions {
    let (interference, failing_commit) = (job.interference, job.failing_commit);
    let (hits, commits) = (AtomicU64::new(0), AtomicU64::new(0));
    let options = SqliteOptions::new();
    let options = if job.blobs { options.blobs_above(64) } else { options };
    options.failpoints(move |reached| {
        if let Some(Interference { point, hit, then }) = interference
            && point == reached
            && hits.fetch_add(1, Ordering::SeqCst) + 1 == hit
        {
            meet(then);
        }
        // The failing commit fails before it (even numbers) or after it (odd numbers).
        let fails =
            if failing_commit.is_multiple_of(2) { Failpoint::Committing } else { Failpoint::Committed };
        if reached == fails && commits.fetch_add(1, Ordering::SeqCst) + 1 == failing_commit {
            return Err(FSYNC_FAILED);
        }
        Ok(())
    })
}

fn meet(then: Then) {
    match then {
        Then::Kill => {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
            loop {
                thread::park();
            }
        }
        Then::Hold => {
            println!("held");
            drop(io::stdin().read_line(&mut String::new()));
        }
    }
}
