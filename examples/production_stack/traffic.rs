//! The workload: concurrent conversations that add user messages and stream replies, both with planted secrets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use throughline::{
    Content, ErrorKind, MessageId, NewMessage, Persistence, Role, Thread, ThreadId, layers::redact::Redactor,
};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    Failure,
    secrets::{Secrets, redacted},
    transcript::{Block, Conversation, TurnContent},
};

/// The number of concurrent conversations.
const WORKERS: usize = 16;

/// Every fifth turn, a user message and its reply contain a secret.
const SECRET_EVERY: usize = 5;

/// An acknowledged message. The vectors keep the order of each thread.
pub(crate) struct Acknowledged {
    pub(crate) thread: ThreadId,
    pub(crate) id: MessageId,
    pub(crate) content: Content,
}

/// The running workers and their shared state.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    workers: JoinSet<Result<Worker, Failure>>,
}

struct Shared {
    written: AtomicUsize,
    more: Notify,
    is_stopped: AtomicBool,
    redactor: Redactor,
}

struct Worker {
    number: usize,
    secrets: Secrets,
    acknowledged: Vec<Acknowledged>,
}

/// The results of all workers.
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) secrets: Vec<String>,
}

impl Traffic {
    pub(crate) fn start(db: &Persistence, redactor: &Redactor, conversations: &[Arc<Conversation>]) -> Self {
        let shared = Arc::new(Shared {
            written: AtomicUsize::new(0),
            more: Notify::new(),
            is_stopped: AtomicBool::new(false),
            redactor: redactor.clone(),
        });
        let mut workers = JoinSet::new();
        for number in 0..WORKERS {
            let (db, shared) = (db.clone(), Arc::clone(&shared));
            let assigned: Vec<_> = conversations.iter().skip(number).step_by(WORKERS).cloned().collect();
            let worker = Worker { number, secrets: Secrets::new(number as u64), acknowledged: Vec::new() };
            workers.spawn(worker.run(db, shared, assigned));
        }
        Self { shared, workers }
    }

    /// Waits until `messages` more messages are acknowledged. Fails if a worker ends.
    pub(crate) async fn wait_for(&mut self, messages: usize) -> Result<(), Failure> {
        let due = self.shared.written.load(Relaxed) + messages;
        loop {
            let more = self.shared.more.notified();
            if self.shared.written.load(Relaxed) >= due {
                return Ok(());
            }
            tokio::select! {
                () = more => {}
                // Workers run until `stop`, so an earlier end is a failure.
                Some(ended) = self.workers.join_next() => {
                    ended??;
                    return Err("a worker has ended before its time".into());
                }
            }
        }
    }

    /// Stops all workers after their current turn, and returns their results.
    pub(crate) async fn stop(mut self) -> Result<Done, Failure> {
        self.shared.is_stopped.store(true, Relaxed);
        let mut done = Done { acknowledged: Vec::new(), secrets: Vec::new() };
        while let Some(worker) = self.workers.join_next().await {
            let Worker { acknowledged, secrets, .. } = worker??;
            done.acknowledged.extend(acknowledged);
            done.secrets.extend(secrets.planted());
        }
        Ok(done)
    }
}

impl Worker {
    /// Writes its conversations repeatedly, each time into new threads.
    async fn run(
        mut self,
        db: Persistence,
        shared: Arc<Shared>,
        conversations: Vec<Arc<Conversation>>,
    ) -> Result<Self, Failure> {
        for round in 0_usize.. {
            for conversation in &conversations {
                let thread =
                    db.thread(format!("worker-{}/round-{round}/{}", self.number, conversation.thread));
                for (number, turn) in conversation.turns.iter().enumerate() {
                    self.write(&thread, turn.role, &turn.content, &shared).await?;
                    if number % SECRET_EVERY == 0 {
                        self.write_secret(&thread, &shared).await?;
                    }
                    if shared.is_stopped.load(Relaxed) {
                        return Ok(self);
                    }
                }
            }
            // A worker without conversations writes only messages with secrets.
            if conversations.is_empty() {
                self.write_secret(&db.thread(format!("worker-{}/round-{round}", self.number)), &shared)
                    .await?;
            }
            if shared.is_stopped.load(Relaxed) {
                break;
            }
        }
        Ok(self)
    }

    async fn write(
        &mut self,
        thread: &Thread,
        role: Role,
        content: &TurnContent,
        shared: &Shared,
    ) -> Result<(), Failure> {
        match content {
            TurnContent::Whole(json) => {
                let added = thread.add(NewMessage::new(role, Content::from_json(json.as_str())?)).await;
                match added {
                    Ok(added) => self.acknowledge(thread, added.message.id, added.message.content, shared),
                    // The limits layer refuses some messages of real transcripts as too large; skip them.
                    Err(error) if error.kind() == ErrorKind::TooLarge => {}
                    Err(error) => return Err(error.into()),
                }
            }
            TurnContent::Streamed(blocks) => {
                let mut draft = thread.reserve(role).await?;
                for block in blocks {
                    match block {
                        Block::Text(text) => {
                            for part in self.secrets.split(text) {
                                draft.append(part).await?;
                            }
                        }
                        Block::Raw(json) => {
                            draft.append_blocks(Content::from_json(format!("[{}]", json.get()))?).await?;
                        }
                    }
                }
                draft.finish().await?;
                let stored = thread.get(draft.id().clone()).await?.ok_or("a finished reply is not there")?;
                self.acknowledge(thread, stored.id, stored.content, shared);
            }
        }
        Ok(())
    }

    /// Adds a message with a secret, and streams a reply with it in random parts. Verifies that the store redacted both.
    async fn write_secret(&mut self, thread: &Thread, shared: &Shared) -> Result<(), Failure> {
        let text = format!("The token is {}, keep it safe.", self.secrets.plant());
        let due = Content::text(&redacted(&shared.redactor, &text));
        let added = thread.add(NewMessage::user(&text)).await?.message;
        self.acknowledge(thread, added.id, added.content.clone(), shared);
        let mut draft = thread.reserve(Role::Assistant).await?;
        for part in self.secrets.split(&text) {
            draft.append(part).await?;
            draft.flush().await?;
        }
        draft.finish().await?;
        let stored = thread.get(draft.id().clone()).await?.ok_or("a finished reply is not there")?;
        if added.content != due || stored.content != due {
            return Err("the stored text is not the redacted text".into());
        }
        self.acknowledge(thread, stored.id, stored.content, shared);
        Ok(())
    }

    fn acknowledge(&mut self, thread: &Thread, id: MessageId, content: Content, shared: &Shared) {
        let thread = thread.id().expect("a thread that was written to has a valid id").clone();
        self.acknowledged.push(Acknowledged { thread, id, content });
        shared.written.fetch_add(1, Relaxed);
        shared.more.notify_waiters();
    }
}
