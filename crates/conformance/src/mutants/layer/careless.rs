//! A layer that changes nothing, and is careless in one way: about a field, an answer, an error, or whose call it is.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use throughline_core::{
    Content, Delta, Effect, ErrorKind, Labels, MetadataPatch, OpKind, PersistArgs, PersistError,
    PersistRequest, PersistResponse, PersistResult, Persistence, Phase, ReadArgs, ReadResult, Reply, Result,
    changes::{ConsumerArgs, ConsumerResult, CursorMoved},
    messages::{CarriesContent as _, FieldValueMut, Reserve},
    pipeline::Receipt,
    plugin::{NextRequest, from_fn},
    sessions::{RunReport, SessionArgs},
    threads::ThreadArgs,
};
use tokio::sync::Semaphore;

use crate::laws::Around;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Fields that it loses on the way down.
    Attachments,
    CreatedAt,
    Leases,
    Labels,
    Filters,
    Conditions,
    Nulls,
    Reports,
    /// Texts that it changes.
    Parses,
    Escapes,
    Long,
    Bytes,
    /// Answers.
    Damage,
    More,
    Lists,
    BatchOrder,
    EarlyCursors,
    /// Whose call it is.
    Cache,
    Keys,
    /// Errors.
    UnknownAppends,
    BusyReads,
    OwnKinds,
    /// Other calls.
    Detaches,
    LocksReads,
    LocksAppends,
    CountsFailures,
    /// Labels that replace those of the caller.
    ReplacesLabels,
}

/// The state that a layer keeps between calls.
struct Kept {
    answers: Mutex<HashMap<String, PersistResponse>>,
    one: Semaphore,
    under_way: AtomicUsize,
}

/// The layer between its probes.
pub(super) fn stack(name: &'static str, fault: Fault, around: &Around) -> Result<Persistence> {
    let kept =
        Arc::new(Kept { answers: Mutex::default(), one: Semaphore::new(1), under_way: AtomicUsize::new(0) });
    let layer = from_fn(name, Phase::Observe, move |request: PersistRequest, next: NextRequest| {
        run(fault, Arc::clone(&kept), request, next)
    });
    around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
}

async fn run(
    fault: Fault,
    kept: Arc<Kept>,
    mut request: PersistRequest,
    next: NextRequest,
) -> Result<PersistResponse> {
    let asked = request.args.clone();
    let remembers = match fault {
        Fault::Cache => matches!(asked, PersistArgs::Read(ReadArgs::Get(_))).then(|| json(&asked)),
        Fault::Keys => request.context.idempotency().map(|idempotency| idempotency.key.to_string()),
        _ => None,
    };
    if let Some(answer) = remembers.as_ref().and_then(|key| kept.answer(key)) {
        return Ok(if fault == Fault::Keys { as_replay(answer) } else { answer });
    }
    items(&mut request.args, &mut |args| fault.before(args));
    if fault == Fault::BatchOrder
        && let PersistArgs::Batch(batch) = &mut request.args
    {
        batch.items.sort_by_key(|item| item.kind() != OpKind::Delete);
    }
    let is_locked = match fault {
        Fault::LocksReads => asked.kind() == OpKind::Read,
        Fault::LocksAppends => asked.kind() == OpKind::UpdateContent,
        _ => false,
    };
    let _one = if is_locked { kept.one.acquire().await.ok() } else { None };
    if fault == Fault::CountsFailures && kept.under_way.fetch_add(1, Ordering::SeqCst) >= 2000 {
        return Err(PersistError::new(ErrorKind::Overloaded, "too many").with_effect(Effect::NotApplied));
    }
    let answer = fault.call(&asked, request, next).await;
    if fault == Fault::CountsFailures && answer.is_ok() {
        kept.under_way.fetch_sub(1, Ordering::SeqCst);
    }
    let answer = fault.after(&asked, answer)?;
    if let Some(key) = remembers {
        kept.answers().insert(key, answer.clone());
    }
    Ok(answer)
}

impl Kept {
    fn answers(&self) -> MutexGuard<'_, HashMap<String, PersistResponse>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, key: &str) -> Option<PersistResponse> {
        self.answers().get(key).cloned()
    }
}

fn json(args: &PersistArgs) -> String {
    serde_json::to_string(args).expect("it serializes")
}

/// The answer to a call that is repeated with its key.
fn as_replay(mut answer: PersistResponse) -> PersistResponse {
    let json = serde_json::to_string(&answer.result).expect("it serializes");
    let replay = json.replace(r#""deduplicated":false"#, r#""deduplicated":true"#);
    answer.result = serde_json::from_str(&replay).expect("the same answer");
    answer.receipt = Receipt::default();
    answer
}

/// Each item of a batch, or the call.
fn items(args: &mut PersistArgs, each: &mut impl FnMut(&mut PersistArgs)) {
    match args {
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(each),
        one => each(one),
    }
}

/// Each content of a call that is given as a whole.
fn contents(args: &mut PersistArgs, change: fn(&Content) -> Option<Content>) {
    for field in args.content_fields_mut() {
        if let FieldValueMut::Whole(content) | FieldValueMut::Delta(Delta::Blocks(content)) = field.value
            && let Some(changed) = change(content)
        {
            *content = changed;
        }
    }
}

impl Fault {
    async fn call(
        self,
        asked: &PersistArgs,
        request: PersistRequest,
        next: NextRequest,
    ) -> Result<PersistResponse> {
        match self {
            Self::Detaches => tokio::spawn(next.run(request)).await.expect("it does not panic"),
            Self::EarlyCursors => match asked {
                PersistArgs::Consumer(ConsumerArgs::MoveCursor(moved)) => {
                    drop(next.run(request).await);
                    let moved = CursorMoved { consumer: moved.consumer.clone(), position: moved.to };
                    Ok(Reply::<ConsumerArgs>::new(ConsumerResult::MoveCursor(moved)).into())
                }
                _ => next.run(request).await,
            },
            _ => next.run(request).await,
        }
    }

    fn before(self, args: &mut PersistArgs) {
        match (self, args) {
            (Self::Attachments, PersistArgs::Add(add)) => add.attachments.clear(),
            (Self::Attachments, PersistArgs::Update(update)) => update.attachments = None,
            (Self::CreatedAt, PersistArgs::Reserve(reserve)) => reserve.created_at = None,
            (Self::CreatedAt, PersistArgs::Thread(ThreadArgs::Create(create))) => create.created_at = None,
            (Self::Leases, PersistArgs::Reserve(reserve)) => reserve.lease = Reserve::DEFAULT_LEASE,
            (Self::Labels, PersistArgs::Thread(ThreadArgs::Create(create))) => {
                create.labels = Labels::new();
                create.hidden = false;
            }
            (Self::ReplacesLabels, PersistArgs::Thread(ThreadArgs::Create(create))) => {
                create.labels = Labels::new().with("added", "by-the-layer").expect("a label");
            }
            (Self::Filters, PersistArgs::Read(ReadArgs::Threads(list))) => list.owner = None,
            (Self::Filters, PersistArgs::Read(ReadArgs::OpenReservations(list))) => list.expired_only = false,
            (Self::Conditions, PersistArgs::Thread(ThreadArgs::Clear(clear))) => clear.expected = None,
            (Self::Conditions, PersistArgs::Consumer(ConsumerArgs::MoveCursor(moved))) => {
                moved.expected = None;
            }
            (Self::Conditions, PersistArgs::Update(update)) => update.expected = None,
            (Self::Nulls, PersistArgs::Update(update)) => {
                let mut kept = MetadataPatch::new();
                for (key, value) in update.metadata.iter().filter(|(_, value)| value.get() != "null") {
                    kept = kept.set(key, value).expect("a value");
                }
                update.metadata = kept;
            }
            (Self::Reports, PersistArgs::Session(SessionArgs::Confirm(confirm))) => {
                confirm.report = RunReport::default();
            }
            (Self::Parses, args) => contents(args, |content| {
                let blocks: Vec<serde_json::Value> = serde_json::from_str(content.as_json()).ok()?;
                Content::from_blocks(&blocks).ok()
            }),
            (Self::Escapes, args) => contents(args, |content| {
                Content::from_json(content.as_json().replace(r"\u0000", "").replace(r"\ud83d", "")).ok()
            }),
            (Self::Long, args) => {
                contents(args, |content| (content.byte_len() > 4096).then(|| Content::text("[cut]")));
            }
            (Self::Bytes, args) => contents(args, |content| {
                // Only the split matters: it can panic inside a character.
                let _first = content.as_json().split_once(r#""text":""#).map(|(_, text)| &text[..8]);
                None
            }),
            _ => {}
        }
    }

    fn after(self, asked: &PersistArgs, answer: Result<PersistResponse>) -> Result<PersistResponse> {
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => return self.after_error(asked, error),
        };
        match (self, &mut response.result) {
            (Self::Damage, PersistResult::Read(ReadResult::Page(page))) => page.damaged.clear(),
            (Self::Damage, PersistResult::Read(ReadResult::Search(found))) => found.damaged.clear(),
            (Self::More, PersistResult::Read(ReadResult::Page(page))) => page.first_open = None,
            (Self::More, PersistResult::Read(ReadResult::Threads(list))) => list.next = None,
            (Self::Lists, PersistResult::Read(ReadResult::Changes(changes))) => changes.changes.clear(),
            _ => {}
        }
        Ok(response)
    }

    fn after_error(self, asked: &PersistArgs, error: PersistError) -> Result<PersistResponse> {
        match (self, asked) {
            (Self::UnknownAppends, PersistArgs::UpdateContent(_)) if error.effect() == Effect::Unknown => {
                Err(error.with_effect(Effect::NotApplied))
            }
            (Self::BusyReads, PersistArgs::Read(ReadArgs::Get(_))) if error.kind() == ErrorKind::Busy => {
                Ok(Reply::<ReadArgs>::new(ReadResult::Get(None)).into())
            }
            (Self::OwnKinds, args)
                if args.kind() != OpKind::Add
                    && !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Denied) =>
            {
                Err(PersistError::new(ErrorKind::Internal, "it failed").with_effect(error.effect()))
            }
            _ => Err(error),
        }
    }
}
