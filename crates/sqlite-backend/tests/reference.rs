//! Any sequence of calls gets the answers of the reference backend: outputs, positions, kinds of refusal.

use std::{
    future::{Future as _, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use fastrand::Rng;
use throughline_core::{
    Backend, Content, Delta, MessageId, Metadata, MetadataPatch, NewMessage, NewReservation, Operation,
    PersistArgs, PersistError, Persistence, ReadArgs, Revision, Role, Seq, TenantId, ThreadId, Timestamp,
    messages::{
        Add, Batch, ContentChange, Delete, GetMessage, ListOpen, OpenCursor, PageFrom, ReadPage, Reserve,
        Update, UpdateContent, UpdateMode, Visibility,
    },
};
use throughline_memory::MemoryBackend;
use throughline_sqlite::{SqliteBackend, SqliteOptions};

const TEXTS: [&str; 6] =
    ["", "plain", "quote \" and \\ and \n", "nul \u{0} inside", "naïve ✓ \u{10ffff}", "{\"type\":\"text\"}"];
const CONTENTS: [&str; 7] = [
    "[]",
    "[ ]",
    r#"[{"type":"text","text":"a"}]"#,
    r#"[ {"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null ]"#,
    r#"[{"type":"text","text":"open"}  ]"#,
    r#"[{"type":"image","source":"x"},{"type":"text","text":"\""}]"#,
    "[1, 2 ]",
];

struct Random(Rng);

impl Random {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }

    fn thread(&mut self) -> ThreadId {
        self.pick(&["a", "b", "b:c", "日本"]).parse().unwrap()
    }

    fn id(&mut self) -> MessageId {
        format!("m{}", self.0.u8(..12)).parse().unwrap()
    }

    fn content(&mut self) -> Content {
        Content::from_json(self.pick(&CONTENTS)).unwrap()
    }

    fn metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        for key in ["k", "ключ", "\u{0}\""] {
            if self.0.bool() {
                metadata.set(key, &self.pick(&TEXTS)).unwrap();
            }
        }
        metadata
    }

    fn change(&mut self) -> ContentChange {
        match self.0.u8(..4) {
            0 => ContentChange::Replace(self.content()),
            1 => ContentChange::Append(Delta::Blocks(self.content())),
            2 => ContentChange::none(),
            _ => ContentChange::Append(Delta::text(self.pick(&TEXTS))),
        }
    }

    fn expected(&mut self) -> Option<Revision> {
        (self.0.u8(..4) == 0).then(|| Revision::new(self.0.u64(1..4)))
    }

    fn single(&mut self) -> PersistArgs {
        let (thread, id) = (self.thread(), self.id());
        match self.0.u8(..10) {
            0..3 => {
                let mut message = NewMessage::new(self.pick(&[Role::User, Role::Tool]), self.content())
                    .with_id(id)
                    .with_metadata(self.metadata());
                if self.0.bool() {
                    message = message.with_attachments(["one".parse().unwrap(), "two".parse().unwrap()]);
                }
                if self.0.bool() {
                    message = message.created_at(Timestamp::from_micros(self.0.i64(-5000..5000)));
                }
                Add::new(thread, message).into()
            }
            3..5 => {
                let lease = Duration::from_millis(self.0.u64(1..100));
                let reservation = NewReservation::new(Role::Assistant).with_id(id).with_lease(lease);
                Reserve::new(thread, reservation.with_metadata(self.metadata())).into()
            }
            5..8 => {
                let mode = match self.0.u8(..6) {
                    0 => UpdateMode::Final,
                    1 => UpdateMode::Abandon { reason: self.0.bool().then(|| self.pick(&TEXTS).to_owned()) },
                    2 => UpdateMode::Edit,
                    _ => UpdateMode::Partial,
                };
                let mut update = UpdateContent::new(thread, id, self.change(), mode);
                update.expected = self.expected();
                update.only_if_expired = self.0.u8(..5) == 0;
                update.into()
            }
            8 => {
                let patch = MetadataPatch::new().clear("k").set("new", &self.pick(&TEXTS)).unwrap();
                let mut update = Update::new(thread, id, patch);
                update.expected = self.expected();
                if self.0.bool() {
                    update = update.with_attachments([]);
                }
                update.into()
            }
            _ => {
                let mut delete = Delete::new(thread, id);
                delete.expected = self.expected();
                delete.into()
            }
        }
    }

    fn write(&mut self) -> PersistArgs {
        if self.0.u8(..6) > 0 {
            return self.single();
        }
        Batch::of((0..self.0.u8(..4)).map(|_| self.single()).collect()).into()
    }

    fn read(&mut self) -> ReadArgs {
        let thread = self.thread();
        let seq = Seq::new(self.pick(&[0, 1, 2, 3, 5, 9, 1000, u64::MAX]));
        match self.0.u8(..4) {
            0 => GetMessage { thread, id: self.id() }.into(),
            1 => {
                let mut list = ListOpen::new(self.0.u32(1..5));
                list.thread = self.0.bool().then_some(thread);
                list.expired_only = self.0.bool();
                list.after = self.0.bool().then(|| OpenCursor { thread: self.thread(), seq });
                list.into()
            }
            _ => {
                let from =
                    self.pick(&[PageFrom::Start, PageFrom::End, PageFrom::After(seq), PageFrom::Before(seq)]);
                let visibility = self.pick(&[Visibility::All, Visibility::Final, Visibility::Settled]);
                ReadPage::new(thread, from, self.pick(&[1, 2, 3, 7, 1000])).showing(visibility).into()
            }
        }
    }
}

/// Returns the part of an answer on which two backends must agree.
fn outcome<O: Operation>(answer: Result<throughline_core::Reply<O>, PersistError>) -> String {
    match answer {
        Ok(reply) => {
            let result = reply.output.into();
            format!("{} at {:?}", serde_json::to_string(&result).unwrap(), reply.receipt.position)
        }
        Err(error) => format!(
            "{:?} {:?} {:?} {:?} {:?}",
            error.kind(),
            error.effect(),
            error.thread(),
            error.message(),
            error.batch_index()
        ),
    }
}

async fn run(db: &Persistence, args: PersistArgs, key: Option<&str>) -> String {
    macro_rules! typed {
        ($op:expr) => {{
            let request = db.run($op);
            let request = match key {
                Some(key) => request.key(key),
                None => request,
            };
            outcome(request.reply().await)
        }};
    }
    match args {
        PersistArgs::Add(op) => typed!(op),
        PersistArgs::Reserve(op) => typed!(op),
        PersistArgs::UpdateContent(op) => typed!(op),
        PersistArgs::Update(op) => typed!(op),
        PersistArgs::Delete(op) => typed!(op),
        PersistArgs::Batch(op) => typed!(op),
        PersistArgs::Read(op) => typed!(op),
        other => panic!("{other:?}"),
    }
}

fn over(backend: impl Backend, now: &Arc<AtomicI64>) -> Persistence {
    let now = Arc::clone(now);
    let clock = move || Timestamp::from_micros(now.load(Ordering::Relaxed));
    Persistence::builder().clock(clock).backend(backend).build().unwrap()
}

/// Sends calls at once, so that they mostly share a transaction, in their order. Returns their answers.
async fn run_together(db: &Persistence, calls: &[(PersistArgs, Option<String>)]) -> Vec<String> {
    let mut running: Vec<_> =
        calls.iter().map(|(args, key)| Box::pin(run(db, args.clone(), key.as_deref()))).collect();
    let mut answers = vec![None; running.len()];
    for (call, answer) in running.iter_mut().zip(&mut answers) {
        // Each begins before the next one.
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
                *answer = Some(outcome);
            }
            Poll::Ready(())
        })
        .await;
    }
    let mut outcome = Vec::new();
    for (call, answer) in running.into_iter().zip(answers) {
        outcome.push(match answer {
            Some(answer) => answer,
            None => call.await,
        });
    }
    outcome
}

fn random() -> (Random, u64) {
    let seed = std::env::var("THROUGHLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let rng = Rng::with_seed(seed.unwrap_or_else(|| fastrand::u64(..)));
    let seed = rng.get_seed();
    (Random(rng), seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_share_a_transaction_are_answered_as_by_the_reference_backend() {
    let (mut random, seed) = random();
    let now = Arc::new(AtomicI64::new(0));
    let memory = over(MemoryBackend::new(), &now);
    let sqlite = over(SqliteBackend::temporary().await.unwrap(), &now);
    for step in 0..400 {
        now.fetch_add(random.0.i64(-1000..40_000), Ordering::Relaxed);
        let calls: Vec<_> = (0..random.0.u8(1..20))
            .map(|_| {
                let args = match random.0.u8(..3) {
                    // Most calls concern a few messages, so that they interact.
                    0 => random.write(),
                    _ => {
                        UpdateContent::new(random.thread(), random.id(), random.change(), UpdateMode::Partial)
                            .into()
                    }
                };
                (args, (random.0.u8(..6) == 0).then(|| format!("key{}", random.0.u8(..40))))
            })
            .collect();
        let mut expected = Vec::new();
        for (args, key) in &calls {
            expected.push(run(&memory, args.clone(), key.as_deref()).await);
        }
        let found = run_together(&sqlite, &calls).await;
        assert_eq!(found, expected, "seed {seed}, step {step}: {calls:?}");
        for thread in ["a", "b", "b:c", "日本"] {
            let read = || ReadArgs::from(ReadPage::new(thread.parse().unwrap(), PageFrom::Start, 1000));
            let (expected, found) =
                (run(&memory, read().into(), None).await, run(&sqlite, read().into(), None).await);
            assert_eq!(found, expected, "seed {seed}, after step {step}: {calls:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_as_by_the_reference_backend() {
    let (mut random, seed) = random();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let now = Arc::new(AtomicI64::new(0));
    let mut refusals = 0;
    let memory = over(MemoryBackend::new(), &now);
    let mut sqlite = over(SqliteBackend::open(&path).await.unwrap(), &now);
    for step in 0..3000 {
        now.fetch_add(random.0.i64(-1000..40_000), Ordering::Relaxed);
        if random.0.u16(..500) == 0 {
            sqlite.close().await.unwrap();
            sqlite = over(SqliteOptions::new().readers(1).open(&path).await.unwrap(), &now);
        }
        let tenant: TenantId = random.pick(&["default", "other"]).parse().unwrap();
        let (args, key) = if random.0.u8(..3) == 0 {
            (random.read().into(), None)
        } else {
            (random.write(), (random.0.u8(..3) == 0).then(|| format!("key{}", random.0.u8(..40))))
        };
        let expected = run(&memory.for_tenant(tenant.clone()), args.clone(), key.as_deref()).await;
        let found = run(&sqlite.for_tenant(tenant), args.clone(), key.as_deref()).await;
        refusals += usize::from(!expected.contains("at "));
        assert_eq!(found, expected, "seed {seed}, step {step}: {args:?} with {key:?}");
    }
    assert!(refusals > 100, "only {refusals} refusals with seed {seed}");
}
