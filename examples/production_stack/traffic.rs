//! The host's work: conversations that go on side by side, people's words added, replies streamed, secrets in both.

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
    secrets::{Secrets, hidden},
    transcript::{Block, Conversation, Said},
};

/// How many conversations go on at once.
const WORKERS: usize = 16;

/// Every so many turns somebody says a secret, and gets it back in a reply.
const SECRET_EVERY: usize = 5;

/// What the store has acknowledged, in the order of each thread.
pub(crate) struct Acknowledged {
    pub(crate) thread: ThreadId,
    pub(crate) id: MessageId,
    pub(crate) content: Content,
}

/// The workers, and what they share.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    workers: JoinSet<Result<Worker, Failure>>,
}

struct Shared {
    written: AtomicUsize,
    more: Notify,
    stops: AtomicBool,
    redactor: Redactor,
}

struct Worker {
    number: usize,
    secrets: Secrets,
    acknowledged: Vec<Acknowledged>,
}

/// What they leave.
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) secrets: Vec<String>,
}

impl Traffic {
    pub(crate) fn start(db: &Persistence, redactor: &Redactor, conversations: &[Arc<Conversation>]) -> Self {
        let shared = Arc::new(Shared {
            written: AtomicUsize::new(0),
            more: Notify::new(),
            stops: AtomicBool::new(false),
            redactor: redactor.clone(),
        });
        let mut workers = JoinSet::new();
        for number in 0..WORKERS {
            let (db, shared) = (db.clone(), Arc::clone(&shared));
            let mine: Vec<_> = conversations.iter().skip(number).step_by(WORKERS).cloned().collect();
            let worker = Worker { number, secrets: Secrets::new(number as u64), acknowledged: Vec::new() };
            workers.spawn(worker.run(db, shared, mine));
        }
        Self { shared, workers }
    }

    /// Waits until so many more messages were acknowledged, or a worker has failed.
    pub(crate) async fn goes_on_for(&mut self, messages: usize) -> Result<(), Failure> {
        let due = self.shared.written.load(Relaxed) + messages;
        loop {
            let more = self.shared.more.notified();
            if self.shared.written.load(Relaxed) >= due {
                return Ok(());
            }
            tokio::select! {
                () = more => {}
                // Nobody ends before all are told to.
                Some(ended) = self.workers.join_next() => {
                    ended??;
                    return Err("a worker has ended before its time".into());
                }
            }
        }
    }

    /// Lets every worker come to the end of its turn.
    pub(crate) async fn stop(mut self) -> Result<Done, Failure> {
        self.shared.stops.store(true, Relaxed);
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
    /// Plays its conversations over and over, each time in new threads.
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
                    self.say(&thread, turn.role, &turn.said, &shared).await?;
                    if number % SECRET_EVERY == 0 {
                        self.say_a_secret(&thread, &shared).await?;
                    }
                    if shared.stops.load(Relaxed) {
                        return Ok(self);
                    }
                }
            }
            // One that has none of its own says secrets.
            if conversations.is_empty() {
                self.say_a_secret(&db.thread(format!("worker-{}/round-{round}", self.number)), &shared)
                    .await?;
            }
            if shared.stops.load(Relaxed) {
                break;
            }
        }
        Ok(self)
    }

    async fn say(
        &mut self,
        thread: &Thread,
        role: Role,
        said: &Said,
        shared: &Shared,
    ) -> Result<(), Failure> {
        match said {
            Said::Whole(json) => {
                let added = thread.add(NewMessage::new(role, Content::from_json(json.as_str())?)).await;
                match added {
                    Ok(added) => self.acknowledge(thread, added.message.id, added.message.content, shared),
                    // Some of what is out there is beyond any limit.
                    Err(error) if error.kind() == ErrorKind::TooLarge => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Said::Streamed(blocks) => {
                let mut draft = thread.reserve(role).await?;
                for block in blocks {
                    match block {
                        Block::Text(text) => {
                            for part in self.secrets.cut(text) {
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

    /// Somebody says a secret, and a reply says it again, cut wherever that falls. What is stored shows neither.
    async fn say_a_secret(&mut self, thread: &Thread, shared: &Shared) -> Result<(), Failure> {
        let text = format!("The token is {}, keep it safe.", self.secrets.plant());
        let due = Content::text(&hidden(&shared.redactor, &text));
        let added = thread.add(NewMessage::user(&text)).await?.message;
        self.acknowledge(thread, added.id, added.content.clone(), shared);
        let mut draft = thread.reserve(Role::Assistant).await?;
        for part in self.secrets.cut(&text) {
            draft.append(part).await?;
            draft.flush().await?;
        }
        draft.finish().await?;
        let stored = thread.get(draft.id().clone()).await?.ok_or("a finished reply is not there")?;
        if added.content != due || stored.content != due {
            return Err("what is stored is not the text with the secret hidden".into());
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
