use throughline_core::{
    backend::sessions::AttemptRecord,
    sessions::{Attempts, ListAttempts},
};

/// Attempts of an agent in a thread. `records` are those below the cursor, the latest first.
pub fn attempts<'r>(list: &ListAttempts, records: impl Iterator<Item = &'r AttemptRecord>) -> Attempts {
    let limit = list.limit as usize;
    let mut attempts: Vec<_> = records.take(limit + 1).map(|record| record.attempt.clone()).collect();
    let more = attempts.len() > limit;
    attempts.truncate(limit);
    Attempts { agent: list.agent.clone(), thread: list.thread.clone(), attempts, more }
}
