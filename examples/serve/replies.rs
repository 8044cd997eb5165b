//! Three agents that write replies from the transcripts, word by word.

use std::{sync::Arc, time::Duration};

use throughline::{
    ErrorKind, Labels, NewMessage, NewThread, Persistence, Role, Thread, Title, threads::CreateThread,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{Result, transcript::Conversation, transcripts::text_of};

/// The speed of the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Five words a second, without an end.
    Reading,
    /// One reply of each agent, as fast as the store is.
    AtOnce,
}

/// The number of agents. Each has its own thread.
pub(crate) const AGENTS: usize = 3;

/// A question and its reply, of a transcript.
type Exchange = (String, String);

/// Writes the replies. With [`Pace::Reading`] it does not end; a drop interrupts the replies.
pub(crate) async fn write(db: &Persistence, conversations: &[Arc<Conversation>], pace: Pace) -> Result<()> {
    let exchanges: Arc<[Exchange]> = exchanges(conversations).into();
    let mut agents = JoinSet::new();
    for agent in 0..AGENTS {
        let thread = open(db, agent).await?;
        let exchanges = Arc::clone(&exchanges);
        agents.spawn(async move { answer(&thread, &exchanges, agent, pace).await });
    }
    while let Some(ended) = agents.join_next().await {
        ended??;
    }
    Ok(())
}

/// Returns the thread of an agent.
async fn open(db: &Persistence, agent: usize) -> Result<Thread> {
    let id = live_thread(agent);
    let new = NewThread::new()
        .with_id(id.parse()?)
        .with_title(Title::new(format!("Live reply {}", agent + 1))?)
        .with_labels(Labels::new().with("kind", "live")?);
    match db.on_thread(CreateThread::new(new)).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(db.with_actor(&format!("agent-{}", agent + 1)).thread(&*id)),
    }
}

/// The id of the thread of an agent.
pub(crate) fn live_thread(agent: usize) -> String {
    format!("live:{}", agent + 1)
}

async fn answer(thread: &Thread, exchanges: &[Exchange], agent: usize, pace: Pace) -> Result<()> {
    for (question, reply) in exchanges.iter().cycle().skip(agent) {
        thread.add(NewMessage::user(question)).await?;
        let mut draft = thread.reserve(Role::Assistant).await?;
        for word in reply.split_inclusive(char::is_whitespace) {
            draft.append(word).await?;
            if pace == Pace::Reading {
                sleep(Duration::from_millis(200)).await;
            }
        }
        draft.finish().await?;
        if pace == Pace::AtOnce {
            break;
        }
        sleep(Duration::from_secs(3)).await;
    }
    Ok(())
}

/// Returns every question of a user with the text that answers it.
fn exchanges(conversations: &[Arc<Conversation>]) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for conversation in conversations {
        for pair in conversation.turns.windows(2) {
            let [question, reply] = pair else { continue };
            if (question.role, reply.role) == (Role::User, Role::Assistant)
                && let (Some(question), Some(reply)) = (text_of(question), text_of(reply))
                && !question.is_empty()
                && !reply.is_empty()
            {
                exchanges.push((question, reply));
            }
        }
    }
    if exchanges.is_empty() {
        exchanges
            .push(("Is there a transcript?".to_owned(), "There is none with a reply in text.".to_owned()));
    }
    exchanges
}
