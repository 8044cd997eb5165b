//! A layer that changes nothing, with a fault.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll},
};

use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageState, NewMessage, PersistArgs, PersistError, PersistRequest,
    PersistResponse, PersistResult, Persistence, Phase, ReadArgs, ReadResult, Result, Revision, Role, Seq,
    messages::{
        Add, CarriesContent as _, ContentChange, Deleted, FieldValueMut, ReadPage, UpdateContent, UpdateMode,
    },
    pipeline::{Extensions, Receipt, SiteSpec},
    plugin::{NextRequest, from_fn},
    threads::ThreadArgs,
};
use tokio::{sync::Semaphore, task};
use tower_layer::Layer;
use tower_service::Service;

use super::redactor::SECRET;
use crate::{
    call::call,
    laws::{Around, takes_keys},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    SkipsDeletes,
    CallsTwice,
    SwallowsErrors,
    HidesTheKind,
    HidesTheSite,
    SaysApplied,
    CallsUnready,
    NeverAsks,
    LosesUp,
    LosesDown,
    LosesReceipt,
    ChangesThread,
    ChangesRole,
    NeverSettles,
    TrimsContent,
    TouchesAnswers,
    HoldsLock,
    LeaksPermits,
    RejectsAfterError,
    RefusesLate,
    RepeatsAnything,
    NeverRepeats,
    RepeatsTimeouts,
    StaysWithItsTask,
    SplitsEnds,
    ForgetsBatchAfter,
    ForgetsDeleteAfter,
    ForgetsDeleteExpected,
    ForgetsOnlyDamaged,
    ForgetsOnlyExpired,
    ForgetsRestoring,
    ForgetsMaxContent,
    ForgetsMaxMetadata,
    ForgetsMaxThreadMetadata,
    ForgetsMaxAnswer,
    RaisesMaxMetadata,
    LimitsNoPatch,
    LimitsNoAnswer,
    ForgetsAddAfter,
    ForgetsReserveAfter,
    ForgetsGeneration,
    ForgetsMaxBytes,
    ForgetsTaken,
}

/// Limits appends to a kilobyte, patches of metadata to `metadata`, and the answers of batches to `answer`.
fn limit(args: &mut PersistArgs, metadata: Option<u64>, answer: Option<u64>) {
    match args {
        PersistArgs::UpdateContent(update) => *update = update.clone().within(1 << 10),
        PersistArgs::Update(update) => update.max_metadata_bytes = metadata,
        PersistArgs::Thread(ThreadArgs::Label(label)) => label.max_metadata_bytes = metadata,
        PersistArgs::Batch(batch) => {
            batch.max_answer_bytes = answer;
            batch.items.iter_mut().for_each(|item| limit(item, metadata, answer));
        }
        _ => {}
    }
}

/// No layer at all, in spite of its name.
pub(super) fn nothing(around: &Around) -> Result<Persistence> {
    around.outside().layer(around.inside()).backend(around.backend()).build()
}

/// Makes every call again as a caller of its own, in a pipeline inside: for the same tenant, with the same key, and
/// without whatever else its caller has said.
pub(super) fn forgets_the_caller(around: &Around) -> Result<Persistence> {
    let inside = Persistence::builder().layer(around.inside()).backend(around.backend()).build()?;
    let layer =
        from_fn("forgets-who-asks", Phase::Observe, move |request: PersistRequest, _: NextRequest| {
            let inside = inside.for_tenant(request.context.tenant().clone());
            let key = request.context.idempotency().map(|idempotency| idempotency.key.clone());
            async move { call(&inside, request.args, key).await }
        });
    around.outside().layer(layer).backend(around.backend()).build()
}

/// A layer inside of another one, which writes the end of a message after the text that comes with it: in two writes, where that
/// text is the beginning of what is hidden.
pub(super) fn splits_ends() -> FaultyLayer {
    FaultyLayer { name: "splits-ends", fault: Fault::SplitsEnds, state: Arc::default() }
}

/// The layer between its probes.
pub(super) fn stack(name: &'static str, fault: Fault, around: &Around) -> Result<Persistence> {
    let layer = FaultyLayer { name, fault, state: Arc::default() };
    around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
}

#[derive(Debug, Clone)]
pub(super) struct FaultyLayer {
    name: &'static str,
    fault: Fault,
    state: Arc<State>,
}

/// The state that the clones of the service share.
#[derive(Debug)]
struct State {
    one: Semaphore,
    hundred: Semaphore,
    failed: AtomicBool,
}

impl Default for State {
    fn default() -> Self {
        Self { one: Semaphore::new(1), hundred: Semaphore::new(100), failed: AtomicBool::new(false) }
    }
}

impl throughline_core::pipeline::Described for FaultyLayer {
    fn site(&self) -> SiteSpec {
        let phase = if self.fault == Fault::SplitsEnds { Phase::Transform } else { Phase::Observe };
        SiteSpec::new(self.name, phase)
    }
}

impl<S> Layer<S> for FaultyLayer {
    type Service = FaultyService<S>;

    fn layer(&self, inner: S) -> FaultyService<S> {
        FaultyService { inner, fault: self.fault, state: Arc::clone(&self.state) }
    }
}

#[derive(Debug, Clone)]
pub(super) struct FaultyService<S> {
    inner: S,
    fault: Fault,
    state: Arc<State>,
}

impl<S> Service<PersistRequest> for FaultyService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        if self.fault == Fault::NeverAsks { Poll::Ready(Ok(())) } else { self.inner.poll_ready(cx) }
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        if self.fault == Fault::CallsUnready {
            ready = ready.clone();
        }
        Box::pin(run(self.fault, Arc::clone(&self.state), ready, request))
    }
}

async fn run<S>(
    fault: Fault,
    state: Arc<State>,
    mut inner: S,
    mut request: PersistRequest,
) -> Result<PersistResponse>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError>,
{
    let asked = request.args.clone();
    let begun_in = task::try_id();
    if let Some(answer) = fault.instead(&state, &asked) {
        return answer;
    }
    let _one = if fault == Fault::HoldsLock { state.one.acquire().await.ok() } else { None };
    if fault == Fault::LeaksPermits {
        // Any later call returns the permit below.
        state.hundred.acquire().await.expect("never closed").forget();
    }
    fault.before(&mut request);
    if fault == Fault::CallsTwice {
        drop(inner.call(request.clone()).await);
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
    }
    if fault == Fault::SplitsEnds
        && let Some(text) = take_begun_text(&mut request.args)
    {
        inner.call(PersistRequest { args: text, context: request.context.clone() }).await?;
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
    }
    let mut answer = inner.call(request.clone()).await;
    if matches!(fault, Fault::RepeatsAnything | Fault::RepeatsTimeouts) {
        let has_key = request.context.idempotency().is_some();
        let takes_key = takes_keys(&request.args);
        for attempt in 2..=4 {
            let Err(error) = &answer else { break };
            let is_repeated = takes_key && is_transient_or_timeout(error, has_key);
            if fault == Fault::RepeatsTimeouts && !is_repeated {
                break;
            }
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
            let context = request.context.clone().with_attempt(attempt);
            answer = inner.call(PersistRequest { context, ..request.clone() }).await;
        }
    }
    if fault == Fault::LeaksPermits {
        state.hundred.add_permits(1);
    }
    if fault == Fault::StaysWithItsTask && begun_in != task::try_id() {
        // The answer depends on the first task, and no other task receives it.
        std::future::pending::<()>().await;
    }
    fault.after(&state, &asked, answer)
}

/// Whether a layer repeats a call with this error that repeats transient errors, and timeouts also without a key.
fn is_transient_or_timeout(error: &PersistError, has_key: bool) -> bool {
    let is_safe = match error.effect() {
        Effect::NotApplied => true,
        Effect::Unknown => has_key || error.kind() == ErrorKind::Timeout,
        Effect::Applied => false,
    };
    is_safe && error.kind().passes_with_time()
}

/// Takes the beginning of what is hidden out of the end of a message, as a write of its own.
fn take_begun_text(args: &mut PersistArgs) -> Option<PersistArgs> {
    let PersistArgs::UpdateContent(update) = args else { return None };
    let ContentChange::Append(Delta::Text(text)) = &update.change else { return None };
    let is_begun = !text.is_empty() && SECRET.starts_with(&**text);
    if !is_begun || matches!(update.mode, UpdateMode::Partial | UpdateMode::Edit) {
        return None;
    }
    let text = UpdateContent { mode: UpdateMode::Partial, ..update.clone() };
    update.change = ContentChange::none();
    Some(text.into())
}

impl Fault {
    /// The answer without a call of the inner service, if the fault makes one.
    fn instead(self, state: &State, asked: &PersistArgs) -> Option<Result<PersistResponse>> {
        match (self, asked) {
            (Self::SkipsDeletes, PersistArgs::Delete(delete)) => {
                let deleted = Deleted {
                    thread: delete.thread.clone(),
                    id: delete.id.clone(),
                    seq: Seq::FIRST,
                    revision: Revision::FIRST,
                    state: MessageState::Final,
                    attachments: Vec::new(),
                    deduplicated: false,
                };
                Some(Ok(response(deleted.into())))
            }
            (Self::RejectsAfterError, _) if state.failed.load(Ordering::SeqCst) => {
                Some(Err(PersistError::new(ErrorKind::Unavailable, "an earlier call failed")
                    .with_effect(Effect::NotApplied)))
            }
            _ => None,
        }
    }

    fn before(self, request: &mut PersistRequest) {
        match (self, &mut request.args) {
            (Self::LosesDown, _) => *request.context.extensions_mut() = Extensions::new(),
            (Self::ChangesThread, PersistArgs::Add(add)) => {
                add.thread = "another".parse().expect("a valid id");
            }
            (Self::ChangesRole, PersistArgs::Add(add)) => add.role = Role::System,
            (Self::NeverSettles, PersistArgs::UpdateContent(update))
                if !matches!(update.mode, UpdateMode::Edit) =>
            {
                update.mode = UpdateMode::Partial;
            }
            (Self::ForgetsBatchAfter, PersistArgs::Batch(batch)) => batch.after = None,
            (Self::ForgetsDeleteAfter, PersistArgs::Delete(delete)) => delete.after = None,
            (Self::ForgetsDeleteExpected, PersistArgs::Delete(delete)) => delete.expected = None,
            (Self::ForgetsOnlyDamaged, PersistArgs::Delete(delete)) => delete.only_damaged = false,
            (Self::ForgetsOnlyExpired, PersistArgs::UpdateContent(update)) => update.only_if_expired = false,
            (Self::ForgetsRestoring, PersistArgs::Import(import)) => import.restores_damaged = false,
            (Self::ForgetsMaxContent, PersistArgs::UpdateContent(update)) => update.max_content_bytes = None,
            (Self::ForgetsMaxMetadata, PersistArgs::Update(update)) => update.max_metadata_bytes = None,
            (Self::ForgetsMaxThreadMetadata, PersistArgs::Thread(ThreadArgs::Label(label))) => {
                label.max_metadata_bytes = None;
            }
            (Self::ForgetsMaxAnswer, PersistArgs::Batch(batch)) => batch.max_answer_bytes = None,
            (Self::RaisesMaxMetadata, args) => limit(args, Some(u64::MAX), Some(1 << 10)),
            (Self::LimitsNoPatch, args) => limit(args, None, Some(1 << 10)),
            (Self::LimitsNoAnswer, args) => limit(args, Some(1 << 10), None),
            (Self::ForgetsAddAfter, PersistArgs::Add(add)) => add.after = None,
            (Self::ForgetsReserveAfter, PersistArgs::Reserve(reserve)) => reserve.after = None,
            (Self::ForgetsGeneration, PersistArgs::Add(add)) => add.generation = None,
            (Self::ForgetsMaxBytes, PersistArgs::Read(ReadArgs::Page(page))) => {
                page.max_bytes = ReadPage::DEFAULT_BYTES;
            }
            (Self::ForgetsTaken, PersistArgs::Thread(ThreadArgs::TakeLast(take))) => take.expected = None,
            (Self::TrimsContent, args) => {
                for field in args.content_fields_mut() {
                    if let FieldValueMut::Whole(content) = field.value {
                        *content = Content::empty();
                    }
                }
            }
            _ => {}
        }
    }

    fn after(
        self,
        state: &State,
        asked: &PersistArgs,
        answer: Result<PersistResponse>,
    ) -> Result<PersistResponse> {
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                state.failed.store(true, Ordering::SeqCst);
                return self.after_error(asked, error);
            }
        };
        match self {
            Self::RefusesLate if is_refused(asked) => {
                return Err(
                    PersistError::new(ErrorKind::Denied, "not that one").with_effect(Effect::NotApplied)
                );
            }
            Self::LosesUp => response.extensions = Extensions::new(),
            Self::LosesReceipt => response.receipt = Receipt::default(),
            Self::TouchesAnswers => match &mut response.result {
                PersistResult::Add(added) => added.deduplicated = true,
                PersistResult::UpdateContent(updated) => updated.deduplicated = true,
                _ => {}
            },
            _ => {}
        }
        Ok(response)
    }

    fn after_error(self, asked: &PersistArgs, error: PersistError) -> Result<PersistResponse> {
        match (self, asked) {
            (Self::SwallowsErrors, PersistArgs::Read(ReadArgs::Get(_))) => {
                Ok(response(ReadResult::Get(None).into()))
            }
            (Self::HidesTheKind, _) => Err(PersistError::new(ErrorKind::Internal, "it failed")),
            (Self::HidesTheSite, _) => {
                let own =
                    PersistError::new(error.kind(), error.detail().to_owned()).with_effect(error.effect());
                Err(match error.batch_index() {
                    Some(index) => own.with_batch_index(index),
                    None => own,
                })
            }
            (Self::SaysApplied, _) => Err(error.with_effect(Effect::Applied)),
            _ => Err(error),
        }
    }
}

/// The call that a refusing mutant refuses.
pub(super) fn refused() -> PersistArgs {
    let add = NewMessage::user("x").with_id("refused".parse().expect("a valid id"));
    Add::new("t".parse().expect("a valid id"), add).into()
}

fn is_refused(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Add(add) if add.id.as_str() == "refused")
}

fn response(result: PersistResult) -> PersistResponse {
    PersistResponse { result, receipt: Receipt::default(), extensions: Extensions::new() }
}
