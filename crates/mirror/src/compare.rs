use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::link::replication_status;
use throughline_core::{
    Message, MessageId, Persistence, Position, Result, Seq, TenantId, ThreadId,
    messages::PageFrom,
    replication::{BeginCapture, Image, ImagePart, NameImage, ReadImages, ThreadImage},
    threads::Generation,
};

/// The number of attempts if the first store changes during the comparison.
const ATTEMPTS: usize = 3;

/// The differences between two stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Every difference, by tenant and thread.
    pub differences: Vec<Difference>,
    /// The position of the first store, if it did not change during the comparison. `None` if it did: a difference can then be a
    /// later write.
    pub position: Option<Position>,
    /// The number of threads in the first store, including deleted ones.
    pub threads: u64,
    /// The number of messages in the first store.
    pub messages: u64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The tenant of the difference.
    pub tenant: TenantId,
    /// The thread of the difference. `None` if it belongs to no thread.
    pub thread: Option<ThreadId>,
    /// The kind of the difference.
    pub kind: Differs,
}

/// The kind of a difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Differs {
    /// The second store lacks this message.
    Missing {
        /// The message.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
    },
    /// Only the second store has this message.
    Extra {
        /// The message.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
    },
    /// The message differs between the stores.
    Message {
        /// The message.
        id: MessageId,
        /// The sequence number of the message in the first store.
        seq: Seq,
        /// The names of the fields that differ.
        fields: Vec<&'static str>,
    },
    /// Other rows of this kind differ.
    Part(&'static str),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant `{}`", self.tenant)?;
        if let Some(thread) = &self.thread {
            write!(f, ", thread `{thread}`")?;
        }
        match &self.kind {
            Differs::Missing { id, seq } => write!(f, ": `{id}` at {seq} is missing"),
            Differs::Extra { id, seq } => write!(f, ": `{id}` at {seq} is only in the second store"),
            Differs::Message { id, seq, fields } => {
                write!(f, ": `{id}` at {seq} differs in {}", fields.join(", "))
            }
            Differs::Part(part) => write!(f, ": {part} differ"),
        }
    }
}

/// Compares two stores and lists every message that differs. It compares a hash of each thread first, and changes nothing.
///
/// It reads both stores once, page by page, and keeps a hash for each thread. Both must support replication, and record changed
/// rows from then on; [`EndCapture`](throughline_core::replication::EndCapture) ends that. If the first store changes meanwhile,
/// the comparison starts again, up to three times. Rows of deleted threads and rows that are not purged yet can differ between
/// equal stores, and are not compared.
///
/// # Errors
/// The errors of the stores.
pub async fn compare(first: &Persistence, second: &Persistence) -> Result<Comparison> {
    let mut attempt = 1;
    loop {
        let comparison = once(first, second).await?;
        if comparison.differences.is_empty() || comparison.position.is_some() || attempt == ATTEMPTS {
            return Ok(comparison);
        }
        attempt += 1;
    }
}

async fn once(first: &Persistence, second: &Persistence) -> Result<Comparison> {
    let mut here = Sums::begin(first).await?;
    let mut there = Sums::begin(second).await?;
    let kept_after = here.kept_after.max(there.kept_after);
    here.read(first, kept_after).await?;
    there.read(second, kept_after).await?;
    let keys: BTreeSet<&Key> = here.sums.keys().chain(there.sums.keys()).collect();
    let mut differences = Vec::new();
    for key in keys {
        if here.sums.get(key) == there.sums.get(key) {
            continue;
        }
        let Key { tenant, thread, part, generation: _ } = key;
        match thread {
            Some(thread) if *part == MESSAGES => {
                let (first, second) = (first.for_tenant(tenant.clone()), second.for_tenant(tenant.clone()));
                messages(&first, &second, thread, &mut differences).await?;
            }
            _ => differences.push(Difference {
                tenant: tenant.clone(),
                thread: thread.clone(),
                kind: Differs::Part(part),
            }),
        }
    }
    differences.sort_unstable();
    let position = replication_status(first).await?.position;
    Ok(Comparison {
        differences,
        position: (position == here.position).then_some(position),
        threads: here.threads.len() as u64,
        messages: here.messages,
    })
}

const MESSAGES: &str = "messages";
const TOMBSTONES: &str = "ids of deleted messages";
const NAMES: &str = "names of messages";
const SESSIONS: &str = "agent sessions";

/// The key of a sum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: TenantId,
    thread: Option<ThreadId>,
    part: &'static str,
    /// The generation of the thread, for aliases.
    generation: Option<Generation>,
}

/// The sums of the hashes of all rows, for each thread. A sum does not depend on the order of the rows.
struct Sums {
    sums: BTreeMap<Key, u128>,
    /// The state of each thread: whether it exists, and its generation.
    threads: BTreeMap<(TenantId, ThreadId), (bool, Generation)>,
    after: throughline_core::replication::ImageCursor,
    position: Position,
    kept_after: Position,
    messages: u64,
}

impl Sums {
    async fn begin(db: &Persistence) -> Result<Self> {
        let after = db.on_replica(BeginCapture::WHOLE).await?.cursor;
        let page = db.read(ReadImages::new(after, 1)).await?;
        Ok(Self {
            sums: BTreeMap::new(),
            threads: BTreeMap::new(),
            after,
            position: page.position,
            kept_after: page.kept_after,
            messages: 0,
        })
    }

    async fn read(&mut self, db: &Persistence, kept_after: Position) -> Result<()> {
        loop {
            let page = db.read(ReadImages::new(self.after, ReadImages::MAX_LIMIT)).await?;
            for image in page.images {
                self.add(image, kept_after);
            }
            for damaged in page.damaged {
                self.sum(TenantId::default(), None, "damaged rows", &damaged);
            }
            self.after = page.cursor;
            if !page.more {
                self.settle();
                return Ok(());
            }
        }
    }

    fn add(&mut self, image: Image, kept_after: Position) {
        let Image { tenant, part } = image;
        match part {
            ImagePart::Thread(image) => {
                let ThreadImage { thread, generation, deleted, gone_question, facts, .. } = *image;
                self.threads.insert((tenant.clone(), thread.clone()), (!deleted, generation));
                let generation = if deleted { None } else { Some((generation, gone_question)) };
                self.sum(tenant, Some(thread), "thread stats", &(generation, deleted, facts));
            }
            ImagePart::Message(image) => {
                self.messages += 1;
                let thread = image.message.thread.clone();
                self.sum(tenant, Some(thread), MESSAGES, &image);
            }
            ImagePart::Gone(gone) => self.sum(tenant, Some(gone.thread.clone()), TOMBSTONES, &gone.id),
            ImagePart::Name(image) => {
                let NameImage { thread, generation, known } = *image;
                let key = Key { tenant, thread: Some(thread), part: NAMES, generation: Some(generation) };
                self.sum_of(key, &known);
            }
            ImagePart::Key(image) => self.sum(tenant, Some(image.thread.clone()), "idempotency keys", &image),
            ImagePart::Session(image) => self.sum(tenant, Some(image.thread.clone()), SESSIONS, &image),
            ImagePart::Agent { agent, record } => self.sum(tenant, None, "agents", &(agent, record)),
            ImagePart::Runtime { runtime, incarnation } => {
                self.sum(tenant, None, "runtimes", &(runtime, incarnation));
            }
            ImagePart::Consumer(image) => self.sum(tenant, None, "consumers of changes", &image),
            ImagePart::Audit(entry) => self.sum(tenant, None, "entries of the audit log", &entry),
            ImagePart::Change(change) => {
                if change.position > kept_after {
                    self.sum(tenant, Some(change.thread.clone()), "changes", &change);
                }
            }
            newer => self.sum(tenant, None, "rows of a newer version", &newer),
        }
    }

    /// Omits the rows of deleted or cleared threads that a store has not purged yet.
    fn settle(&mut self) {
        let Self { sums, threads, .. } = self;
        sums.retain(|key, _| {
            let Some(thread) = &key.thread else { return true };
            match threads.get(&(key.tenant.clone(), thread.clone())) {
                Some((false, _)) => ![TOMBSTONES, NAMES, SESSIONS].contains(&key.part),
                Some((true, present)) => key.generation.is_none_or(|generation| generation >= *present),
                None => true,
            }
        });
    }

    fn sum(
        &mut self,
        tenant: TenantId,
        thread: Option<ThreadId>,
        part: &'static str,
        value: &impl Serialize,
    ) {
        self.sum_of(Key { tenant, thread, part, generation: None }, value);
    }

    fn sum_of(&mut self, key: Key, value: &impl Serialize) {
        let mut hasher = blake3::Hasher::new();
        serde_json::to_writer(&mut hasher, value).expect("images serialize into memory");
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let sum = self.sums.entry(key).or_default();
        *sum = sum.wrapping_add(u128::from_le_bytes(half));
    }
}

/// Lists the messages of a thread that differ, by reading both stores in the order of the sequence numbers.
async fn messages(
    first: &Persistence,
    second: &Persistence,
    thread: &ThreadId,
    differences: &mut Vec<Difference>,
) -> Result<()> {
    let (here, there) = (all(first, thread).await?, all(second, thread).await?);
    let mut add = |differs| {
        differences.push(Difference {
            tenant: first.tenant().clone(),
            thread: Some(thread.clone()),
            kind: differs,
        });
    };
    for (id, message) in &here {
        match there.get(id) {
            None => add(Differs::Missing { id: id.clone(), seq: message.seq }),
            Some(other) => {
                let fields = fields(message, other);
                if !fields.is_empty() {
                    add(Differs::Message { id: id.clone(), seq: message.seq, fields });
                }
            }
        }
    }
    for (id, message) in there.iter().filter(|(id, _)| !here.contains_key(*id)) {
        add(Differs::Extra { id: id.clone(), seq: message.seq });
    }
    Ok(())
}

async fn all(db: &Persistence, thread: &ThreadId) -> Result<BTreeMap<MessageId, Message>> {
    let mut messages = BTreeMap::new();
    let mut from = Some(PageFrom::Start);
    let thread = db.thread(thread.clone());
    while let Some(at) = from {
        let page = thread.page(at, 100).await?;
        from = page.next(at);
        messages.extend(page.messages.into_iter().map(|message| (message.id.clone(), message)));
    }
    Ok(messages)
}

fn fields(a: &Message, b: &Message) -> Vec<&'static str> {
    let Message {
        tenant: _,
        thread: _,
        id: _,
        seq,
        role,
        state,
        revision,
        content,
        metadata,
        attachments,
        abandon_reason,
        lease,
        created_at,
        updated_at,
    } = a;
    [
        ("seq", *seq == b.seq),
        ("role", *role == b.role),
        ("state", *state == b.state),
        ("revision", *revision == b.revision),
        ("content", *content == b.content),
        ("metadata", *metadata == b.metadata),
        ("attachments", *attachments == b.attachments),
        ("reason", *abandon_reason == b.abandon_reason),
        ("lease", *lease == b.lease),
        ("creation time", *created_at == b.created_at),
        ("time of change", *updated_at == b.updated_at),
    ]
    .into_iter()
    .filter(|(_, is_same)| !is_same)
    .map(|(field, _)| field)
    .collect()
}
