//! Checks the outcome of the example.

use std::collections::{HashMap, HashSet};

use throughline::{
    Role,
    messages::PageFrom,
    sessions::{AttemptState, Withheld},
};

use crate::{Failure, host::Host, table::Row};

/// The expected outcome of one run: the resumed session, the session that ran, the remembered prompts, the end, and the gap.
pub(crate) type Expected = (&'static str, &'static str, usize, &'static str, Option<Withheld>);

/// Returns a description of each error.
pub(crate) async fn verify(host: &Host, rows: &[Row], expected: &[Expected]) -> Result<Vec<String>, Failure> {
    let mut errors = Vec::new();
    for (row, expected_run) in rows.iter().zip(expected) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (resumed, ran, gap) =
            (text(&row.resumed), text(&row.ran), row.gap.as_ref().map(|gap| gap.reason));
        if (resumed.as_str(), ran.as_str(), row.remembers, row.ended.as_str(), gap) != *expected_run {
            errors.push(format!("{}: expected {:?}", row.scene, expected_run));
        }
    }
    if rows.len() != expected.len() {
        errors.push(format!("{} runs, expected {}", rows.len(), expected.len()));
    }
    let mut owners = HashMap::new();
    let agent_threads: HashSet<_> =
        rows.iter().map(|row| (row.agent.as_str(), row.thread.as_str())).collect();
    let (mut confirmed, mut answers) = (0, 0);
    for (agent, thread) in &agent_threads {
        for attempt in host.db.agent(*agent).on(*thread).history(100).await?.attempts {
            match attempt.state {
                AttemptState::Running => errors.push(format!("the run {} has no end", attempt.id)),
                AttemptState::Completed => confirmed += 1,
                _ => {}
            }
            let Some(session) = attempt.session else { continue };
            // A session belongs to one agent in one thread, and to the machine that keeps it.
            let machine = attempt.runtime.map(|runtime| runtime.id.to_string()).unwrap_or_default();
            if !session.as_str().starts_with(&machine) {
                errors.push(format!("the session {session} was run on {machine}"));
            }
            let owner = *owners.entry(session.clone()).or_insert((*agent, *thread));
            if owner != (*agent, *thread) {
                errors.push(format!("the session {session} has two owners"));
            }
        }
    }
    for thread in agent_threads.iter().map(|(_, thread)| *thread).collect::<HashSet<_>>() {
        let page = host.db.thread(thread).page(PageFrom::Start, 100).await?;
        answers += page.messages.iter().filter(|message| message.role == Role::Assistant).count();
    }
    if answers != confirmed {
        errors.push(format!("{answers} answers of {confirmed} confirmed runs"));
    }
    Ok(errors)
}
