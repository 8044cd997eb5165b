//! The steps of a sequence.

use proptest::{collection::vec, option, prelude::*};
use throughline_core::{
    MessageId, MetadataPatch, NewMessage, NewReservation, NewThread, PersistArgs, Revision, Role, Seq,
    ThreadId, Timestamp, Title,
    ids::AttachmentKey,
    messages::{Add, Batch, Delete, Reserve, TakeLastMessage, Update, UpdateContent, UpdateMode},
    threads::{
        ArchiveThread, ClearThread, CreateThread, DeleteThread, Generation, PruneThread, PublishThread,
        RebuildThread, RenameThread, ThreadArgs,
    },
};

use super::content;

/// The world of a sequence.
pub(super) const THREADS: [&str; 2] = ["t", "T"];
pub(super) const IDS: [&str; 4] = ["a", "b", "c", "A"];
const KEYS: [&str; 3] = ["k", "K", "l"];

/// The claims of a backend that change the sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) batches: bool,
    pub(super) keys: bool,
    pub(super) reopens: bool,
    pub(super) threads: bool,
    pub(super) changes: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A call of tenant 0 or 1, under one of the keys or none.
    Write { tenant: usize, call: WriteCall, key: Option<usize> },
    /// Reads a page, a message and the list of open ones.
    Look { tenant: usize, look: Look },
    /// The clock moves by so many microseconds, forward or back.
    Clock(i64),
    /// The store is closed and opened again.
    Reopen,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum WriteCall {
    Single(Op),
    Batch(Vec<Op>),
}

/// A write of a single message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Op {
    pub(super) thread: usize,
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Under one of the ids, or a minted one.
    Add {
        id: Option<usize>,
        content: usize,
        metadata: usize,
        imported: bool,
        generation: Option<u64>,
    },
    Reserve {
        id: Option<usize>,
        lease: i64,
        metadata: usize,
    },
    Content {
        id: usize,
        change: content::Change,
        mode: usize,
        expected: Option<u64>,
        only_if_expired: bool,
    },
    Update {
        id: usize,
        patch: usize,
        absent: usize,
        attachments: Option<usize>,
        expected: Option<u64>,
    },
    Delete {
        id: usize,
        expected: Option<u64>,
        after: Option<u64>,
    },
    Thread(ThreadOp),
}

/// An operation on a whole thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ThreadOp {
    Create { title: usize, hidden: bool, reuses_ids: bool },
    Rename { title: usize, expected: Option<usize> },
    Archive(bool),
    Publish,
    Rebuild,
    Clear { expected: Option<u64> },
    Prune { through: u64, generation: u64, limit: u32 },
    TakeLast { expected: Option<u64> },
    Delete,
}

pub(super) const TITLES: [&str; 3] = ["Untitled", "one", "two \u{0} é"];

#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) thread: usize,
    /// 0 start, 1 end, 2 after and 3 before the seq of a message.
    pub(super) from: usize,
    pub(super) at: usize,
    pub(super) limit: u32,
    /// 0 all, 1 final, 2 settled.
    pub(super) visibility: usize,
    pub(super) expired_only: bool,
}

/// The initial values of metadata, and patches for them; `null` clears.
pub(super) const METADATA: [&str; 3] = [r"{}", r#"{"a":1.10,"b":null}"#, r#"{"b":"x","c":{"d":1}}"#];
pub(super) const PATCHES: [&str; 4] =
    [r"{}", r#"{"a":null}"#, r#"{"a":2,"d":18446744073709551615}"#, r#"{"b":null,"c":1}"#];
/// Values that are set where they are absent.
pub(super) const ABSENT: [&str; 3] = [r"{}", r#"{"b":7,"c":true}"#, r#"{"a":"first","e":[null]}"#];
/// The patches, each with values of other names.
const UPDATES: [(usize, usize); 9] = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (1, 1), (2, 1), (3, 2)];
pub(super) const ATTACHMENTS: [&[&str]; 3] = [&[], &["y", "x"], &["z"]];
pub(super) const REASON: &str = "lost \u{0} interest";
/// When imported messages are from.
pub(super) const IMPORTED: i64 = 42;

pub(super) fn mode(number: usize) -> UpdateMode {
    match number {
        0 => UpdateMode::Partial,
        1 => UpdateMode::Final,
        2 => UpdateMode::Abandon { reason: None },
        3 => UpdateMode::Abandon { reason: Some(REASON.to_owned()) },
        _ => UpdateMode::Edit,
    }
}

pub(super) fn key(number: usize) -> &'static str {
    KEYS[number]
}

impl Op {
    pub(super) fn thread(&self) -> ThreadId {
        THREADS[self.thread].parse().expect("a valid id")
    }

    /// The operation. Each call mints new ids.
    pub(super) fn args(&self) -> PersistArgs {
        let thread = self.thread();
        let id = |number: usize| IDS[number].parse::<MessageId>().expect("a valid id");
        let facts = |number: usize| serde_json::from_str(METADATA[number]).expect("metadata");
        let keys = |number: usize| {
            ATTACHMENTS[number].iter().map(|name| name.parse::<AttachmentKey>().expect("a valid key"))
        };
        match &self.action {
            Action::Add { id: name, content, metadata, imported, generation } => {
                let message = NewMessage::new(Role::User, content::whole(*content).json());
                let message = message.with_metadata(facts(*metadata)).with_attachments(keys(*metadata));
                let message = name.map_or(message.clone(), |name| message.with_id(id(name)));
                let message =
                    generation.map_or(message.clone(), |seen| message.in_generation(Generation::new(seen)));
                let at = Timestamp::from_micros(IMPORTED);
                Add::new(thread, if *imported { message.created_at(at) } else { message }).into()
            }
            Action::Reserve { id: name, lease, metadata } => {
                let lease = std::time::Duration::from_micros(lease.unsigned_abs());
                let row =
                    NewReservation::new(Role::Assistant).with_lease(lease).with_metadata(facts(*metadata));
                Reserve::new(thread, name.map_or(row.clone(), |name| row.with_id(id(name)))).into()
            }
            Action::Content { id: name, change, mode: number, expected, only_if_expired } => {
                let mut update = UpdateContent::new(thread, id(*name), change.args(), mode(*number));
                update.expected = expected.map(Revision::new);
                update.only_if_expired = *only_if_expired;
                update.into()
            }
            Action::Update { id: name, patch, absent, attachments, expected } => {
                let patch: MetadataPatch = serde_json::from_str(PATCHES[*patch]).expect("a patch");
                let absent = serde_json::from_str(ABSENT[*absent]).expect("metadata");
                let mut update = Update::new(thread, id(*name), patch).with_absent(absent);
                update.attachments = attachments.map(|number| keys(number).collect());
                update.expected = expected.map(Revision::new);
                update.into()
            }
            Action::Delete { id: name, expected, after } => {
                let mut delete = Delete::new(thread, id(*name));
                delete.after = after.map(Seq::new);
                delete.expected = expected.map(Revision::new);
                delete.into()
            }
            Action::Thread(thread_op) => thread_op.args(thread).into(),
        }
    }
}

impl ThreadOp {
    fn args(self, thread: ThreadId) -> ThreadArgs {
        let title = |number: usize| TITLES[number].parse::<Title>().expect("a title");
        match self {
            Self::Create { title: number, hidden, reuses_ids } => {
                let new = NewThread::new().with_id(thread).with_title(title(number));
                let new = if reuses_ids { new.reusing_ids() } else { new };
                CreateThread::new(if hidden { new.hidden() } else { new }).into()
            }
            Self::Rename { title: number, expected } => {
                let mut rename = RenameThread::new(thread, title(number));
                rename.expected = expected.map(title);
                rename.into()
            }
            Self::Archive(archived) => ArchiveThread { thread, archived }.into(),
            Self::Publish => PublishThread { thread }.into(),
            Self::Rebuild => RebuildThread { thread }.into(),
            Self::Clear { expected } => {
                ClearThread { thread, expected: expected.map(Generation::new) }.into()
            }
            Self::Prune { through, generation, limit } => {
                let (through, generation) = (Seq::new(through), Generation::new(generation));
                PruneThread { thread, through, generation, limit }.into()
            }
            Self::TakeLast { expected } => {
                TakeLastMessage { thread, expected: expected.map(Seq::new) }.into()
            }
            Self::Delete => DeleteThread { thread }.into(),
        }
    }
}

impl WriteCall {
    pub(super) fn args(&self) -> PersistArgs {
        match self {
            Self::Single(op) => op.args(),
            Self::Batch(ops) => ops.iter().map(Op::args).fold(Batch::new(), Batch::with).into(),
        }
    }

    pub(super) fn ops(&self) -> &[Op] {
        match self {
            Self::Single(op) => std::slice::from_ref(op),
            Self::Batch(ops) => ops,
        }
    }
}

/// A strategy for operations on a thread; some of them cannot be an item of a batch.
fn thread_op(batched: bool) -> impl Strategy<Value = ThreadOp> {
    let single = u32::from(!batched);
    let generation = || option::of(1..3_u64);
    prop_oneof![
        4 => (0..TITLES.len(), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(title, hidden, reuses_ids)| ThreadOp::Create { title, hidden, reuses_ids }),
        4 => (0..TITLES.len(), option::of(0..TITLES.len()))
            .prop_map(|(title, expected)| ThreadOp::Rename { title, expected }),
        2 => any::<bool>().prop_map(ThreadOp::Archive),
        2 => Just(ThreadOp::Publish),
        3 * single => Just(ThreadOp::Rebuild),
        3 => generation().prop_map(|expected| ThreadOp::Clear { expected }),
        4 * single => (1..9_u64, 1..3_u64, 1..4_u32)
            .prop_map(|(through, generation, limit)| ThreadOp::Prune { through, generation, limit }),
        3 => option::of(1..5_u64).prop_map(|expected| ThreadOp::TakeLast { expected }),
        // Nothing happens to a thread afterwards.
        1 => Just(ThreadOp::Delete),
    ]
}

fn op(threads: bool, batched: bool) -> impl Strategy<Value = Op> {
    // Some of the world more often than the rest: what happens to a message should go on happening to it.
    let ids = || prop_oneof![3 => 0..2_usize, 1 => 2..IDS.len()];
    let minted = prop_oneof![5 => ids().prop_map(Some), 1 => Just(None)];
    let expected = || prop_oneof![3 => Just(None), 2 => (1..5_u64).prop_map(Some)];
    let change = prop_oneof![
        3 => (0..content::DELTAS).prop_map(content::Change::Append),
        1 => (0..content::WHOLES).prop_map(content::Change::Replace),
    ];
    let generation = prop_oneof![5 => Just(None), u32::from(threads) => (1..3_u64).prop_map(Some)];
    let add = (minted.clone(), 0..content::WHOLES, 0..METADATA.len(), prop::bool::weighted(0.2), generation);
    let reserve = (minted, prop::sample::select(vec![1_000_000_i64, 10_000_000]), 0..METADATA.len());
    let content = (ids(), change, 0..5_usize, expected(), prop::bool::weighted(0.2));
    let patch = prop::sample::select(UPDATES.to_vec());
    let update =
        (ids(), patch, prop_oneof![2 => Just(None), 1 => (0..ATTACHMENTS.len()).prop_map(Some)], expected());
    let action = prop_oneof![
        6 => add.prop_map(|(id, content, metadata, imported, generation)| {
            Action::Add { id, content, metadata, imported, generation }
        }),
        6 => reserve.prop_map(|(id, lease, metadata)| Action::Reserve { id, lease, metadata }),
        16 => content.prop_map(|(id, change, mode, expected, only_if_expired)| {
            Action::Content { id, change, mode, expected, only_if_expired }
        }),
        6 => update.prop_map(|(id, (patch, absent), attachments, expected)| {
            Action::Update { id, patch, absent, attachments, expected }
        }),
        3 => (ids(), expected(), expected())
            .prop_map(|(id, expected, after)| Action::Delete { id, expected, after }),
        7 * u32::from(threads) => thread_op(batched).prop_map(Action::Thread),
    ];
    (prop::bool::weighted(0.3), action)
        .prop_map(|(thread, action)| Op { thread: usize::from(thread), action })
}

fn look() -> impl Strategy<Value = Look> {
    (0..THREADS.len(), 0..4_usize, 0..IDS.len(), 1..4_u32, 0..3_usize, any::<bool>()).prop_map(
        |(thread, from, at, limit, visibility, expired_only)| Look {
            thread,
            from,
            at,
            limit,
            visibility,
            expired_only,
        },
    )
}

pub(super) fn sequences(scope: Scope) -> impl Strategy<Value = Vec<Step>> {
    let Scope { batches, keys, reopens, threads, changes: _ } = scope;
    let call = prop_oneof![
        6 => op(threads, false).prop_map(WriteCall::Single),
        u32::from(batches) => vec(op(threads, true), 1..5).prop_map(WriteCall::Batch),
    ];
    let key = prop_oneof![3 => Just(None), u32::from(keys) * 2 => (0..KEYS.len()).prop_map(Some)];
    let write = (prop::bool::weighted(0.3), call, key);
    let step = prop_oneof![
        12 => write.prop_map(|(tenant, call, key)| Step::Write { tenant: usize::from(tenant), call, key }),
        4 => (0..2_usize, look()).prop_map(|(tenant, look)| Step::Look { tenant, look }),
        3 => prop::sample::select(vec![1_i64, 999_999, 1_000_000, 11_000_000, -3_600_000_000]).prop_map(Step::Clock),
        u32::from(reopens) => Just(Step::Reopen),
    ];
    // Half of the sequences begin with threads that reuse ids: a thread cannot do so later.
    (vec(step, 1..60), prop::bool::weighted(if threads { 0.5 } else { 0.0 })).prop_map(
        |(steps, reuses_ids)| {
            let create = |(tenant, thread)| {
                let action = Action::Thread(ThreadOp::Create { title: 0, hidden: false, reuses_ids: true });
                Step::Write { tenant, call: WriteCall::Single(Op { thread, action }), key: None }
            };
            let first = [(0, 0), (0, 1), (1, 0)].into_iter().filter(|_| reuses_ids).map(create);
            first.chain(steps).collect()
        },
    )
}
