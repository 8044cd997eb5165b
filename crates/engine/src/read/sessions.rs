use throughline_core::{
    backend::{AnswerBytes, EstimatedSize as _, sessions::AttemptRecord},
    sessions::{Attempt, Attempts, ListAttempts},
};

/// Attempts of an agent in a thread. `records` are those below the cursor, the latest first.
pub fn attempts<'r>(list: &ListAttempts, records: impl Iterator<Item = &'r AttemptRecord>) -> Attempts {
    let limit = list.limit as usize;
    let mut bytes = AnswerBytes::new(list.max_bytes);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut more = false;
    for AttemptRecord { attempt, .. } in records {
        if attempts.len() == limit || !bytes.take(attempt.estimated_size()) {
            more = true;
            break;
        }
        attempts.push(attempt.clone());
    }
    Attempts { agent: list.agent.clone(), thread: list.thread.clone(), attempts, more }
}
