//! The probes on both sides of a layer: each records the calls, injects failures, and checks how it is called.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll},
};

use throughline_core::{
    Context, PersistArgs, PersistError, PersistRequest, PersistResponse, PersistResult, Phase, Result,
    pipeline::{Described, Receipt, SiteSpec},
};
use tokio::sync::Semaphore;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    every_field::name_of,
    progress::{Progress, Side},
};
use crate::runner::ON_PURPOSE;

/// A layer that records calls and, if a law requires it, fails them.
#[derive(Debug, Clone)]
pub struct Probe {
    name: &'static str,
    phase: Phase,
    log: Arc<Mutex<ProbeLog>>,
    side: Side,
    progress: Progress,
}

/// The behavior of a probe for the next call.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Fail(PersistError),
    /// Lets the call through, and loses the answer.
    FailAfter(PersistError),
    Answer(Box<PersistResult>),
    PanicWhenCalled,
    PanicWhenPolled,
    /// Never answers, and never calls the inner service.
    Hang,
    /// Lets the call through, and delays the answer until the law releases it.
    HoldAfter(Arc<Semaphore>),
    /// Waits until the law releases it, counts the released calls, and fails.
    HoldBefore(Arc<Semaphore>, PersistError),
}

/// The reason why a probe is not ready.
#[derive(Debug, Clone)]
pub(crate) enum Unfit {
    Fails(PersistError),
    Panics,
}

/// Whether the store applies a write that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The store is not called.
    Never,
    /// The store applies the write, and the answer is lost.
    AtOnce,
    /// The store applies the write late: before the next one.
    Late,
}

/// The error of every call, and the calls that are exempt from it.
struct Refusal {
    passes: fn(&PersistArgs) -> bool,
    error: PersistError,
    reach: Reach,
}

#[derive(Default)]
struct ProbeLog {
    visits: Vec<Visit>,
    acts: VecDeque<Act>,
    /// The calls that the probe refuses, until `behave` is called.
    refuses: Option<Refusal>,
    /// The behavior for every call of an operation of this name, until `behave` is called.
    script: Option<(&'static str, Act)>,
    /// The number of calls that continued after they were held.
    went_on: usize,
    /// Failed calls that the store applies before the next write.
    late: Vec<PersistRequest>,
    /// How often `poll_ready` returns pending before it returns ready.
    unready: usize,
    unfit: Option<Unfit>,
    /// Calls of an instance that was not polled ready.
    unready_calls: usize,
}

impl ProbeLog {
    /// The behavior for this call.
    fn act_on(&mut self, request: &PersistRequest) -> Option<Act> {
        match self.refuses.as_ref().filter(|refusal| !(refusal.passes)(&request.args)) {
            Some(Refusal { error, reach: Reach::AtOnce, .. }) => Some(Act::FailAfter(error.clone())),
            Some(Refusal { error, reach, .. }) => {
                if *reach == Reach::Late {
                    self.late.push(request.clone());
                }
                Some(Act::Fail(error.clone()))
            }
            None => self.acts.pop_front().or_else(|| self.scripted(&request.args)),
        }
    }

    fn scripted(&self, args: &PersistArgs) -> Option<Act> {
        let (_, act) = self.script.as_ref().filter(|(name, _)| *name == name_of(args))?;
        Some(act.clone())
    }
}

impl fmt::Debug for ProbeLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeLog").field("visits", &self.visits.len()).finish_non_exhaustive()
    }
}

/// A call that passed a probe.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) args: PersistArgs,
    pub(crate) context: Context,
    /// The answer, once it has passed outbound.
    pub(crate) answer: Option<Result<(PersistResult, Receipt)>>,
    /// Whether the extension of the other probe was there: inbound and outbound.
    pub(crate) marked_down: bool,
    pub(crate) marked_up: bool,
}

/// The extension that the outside probe leaves for the inside one.
#[derive(Debug)]
struct FromOutside;

/// The extension that the inside probe leaves for the outside one.
#[derive(Debug)]
struct FromInside;

impl Probe {
    pub(super) fn outside(progress: Progress) -> Self {
        Self { name: "outside", phase: Phase::Admit, log: Arc::default(), side: Side::Outside, progress }
    }

    pub(super) fn inside(progress: Progress) -> Self {
        Self { name: "inside", phase: Phase::Route, log: Arc::default(), side: Side::Inside, progress }
    }

    fn log(&self) -> MutexGuard<'_, ProbeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the behavior for the next calls, one for each.
    pub(crate) fn act(&self, acts: impl IntoIterator<Item = Act>) {
        self.log().acts.extend(acts);
    }

    /// Fails every call with `error`, except those for which `passes` is true.
    pub(crate) fn fail_unless(&self, passes: fn(&PersistArgs) -> bool, error: PersistError, reach: Reach) {
        self.log().refuses = Some(Refusal { passes, error, reach });
    }

    /// Sets the behavior for every call of an operation of this name. Reads of the layer itself are exempt.
    pub(crate) fn script(&self, name: &'static str, act: Act) {
        self.log().script = Some((name, act));
    }

    /// The number of calls that continued after they were held.
    pub(crate) fn went_on(&self) -> usize {
        self.log().went_on
    }

    /// Removes the failures. The store still applies late writes.
    pub(crate) fn behave(&self) {
        let mut log = self.log();
        log.acts.clear();
        log.refuses = None;
        log.script = None;
    }

    /// Returns the calls since the last call of this function.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        std::mem::take(&mut self.log().visits)
    }

    /// Whether a call of an operation of this name has arrived.
    pub(crate) fn is_visited(&self, name: &str) -> bool {
        self.log().visits.iter().any(|visit| name_of(&visit.args) == name)
    }

    /// The number of calls and answers so far.
    pub(crate) fn count(&self) -> usize {
        self.log().visits.len()
    }

    pub(crate) fn be_unready(&self, times: usize) {
        self.log().unready = times;
    }

    /// Sets the result of the next readiness check.
    pub(crate) fn unfit(&self, how: Unfit) {
        self.log().unfit = Some(how);
    }

    pub(crate) fn unready_calls(&self) -> usize {
        self.log().unready_calls
    }
}

impl Described for Probe {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.name, self.phase)
    }
}

impl<S> Layer<S> for Probe {
    type Service = ProbeService<S>;

    fn layer(&self, inner: S) -> ProbeService<S> {
        ProbeService { inner, probe: self.clone(), ready: false }
    }
}

/// The service of a [`Probe`]. A clone is not ready, even if the original is.
#[derive(Debug)]
pub struct ProbeService<S> {
    inner: S,
    probe: Probe,
    ready: bool,
}

impl<S: Clone> Clone for ProbeService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), probe: self.probe.clone(), ready: false }
    }
}

/// The future of a [`ProbeService`].
pub type ProbeFuture = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

impl<S> Service<PersistRequest> for ProbeService<S>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        let mut log = self.probe.log();
        match log.unfit.take() {
            Some(Unfit::Fails(error)) => return Poll::Ready(Err(error)),
            Some(Unfit::Panics) => {
                drop(log);
                panic!("{ON_PURPOSE}");
            }
            None => {}
        }
        if log.unready > 0 {
            log.unready -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        drop(log);
        let runs = self.probe.progress.runs(self.probe.side);
        let ready = self.inner.poll_ready(cx);
        drop(runs);
        self.ready = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    fn call(&mut self, mut request: PersistRequest) -> ProbeFuture {
        let probe = self.probe.clone();
        let operation = request.kind();
        probe.progress.called(probe.side, operation);
        let mut log = probe.log();
        if !std::mem::take(&mut self.ready) {
            log.unready_calls += 1;
        }
        let marked_down = if probe.name == "outside" {
            request.context.extensions_mut().insert(FromOutside);
            true
        } else {
            request.context.extensions().get::<FromOutside>().is_some()
        };
        let number = log.visits.len();
        log.visits.push(Visit {
            args: request.args.clone(),
            context: request.context.clone(),
            answer: None,
            marked_down,
            marked_up: false,
        });
        let act = log.act_on(&request);
        let late =
            if act.is_none() && operation.is_write() { std::mem::take(&mut log.late) } else { Vec::new() };
        drop(log);
        let inner = match act {
            Some(Act::PanicWhenCalled) => panic!("{ON_PURPOSE}"),
            None if !late.is_empty() => {
                let inner = self.inner.clone();
                Some(Inside::Behind(Box::pin(one_after_the_other(inner, late, request))))
            }
            None | Some(Act::HoldAfter(_) | Act::FailAfter(_)) => {
                let _runs = probe.progress.runs(probe.side);
                Some(Inside::AtOnce(self.inner.call(request)))
            }
            Some(_) => None,
        };
        Box::pin(async move {
            let mut answer = match (act, inner) {
                (Some(Act::HoldAfter(reported)), Some(inner)) => {
                    let answer = inner.answer(&probe).await;
                    reported.acquire().await.expect("never closed").forget();
                    answer
                }
                // A refusal is an answer that is not lost.
                (Some(Act::FailAfter(error)), Some(inner)) => inner.answer(&probe).await.and(Err(error)),
                (_, Some(inner)) => inner.answer(&probe).await,
                (Some(Act::Fail(error)), None) => Err(error),
                (Some(Act::Answer(result)), None) => Ok(PersistResponse {
                    result: *result,
                    receipt: Receipt::default(),
                    extensions: throughline_core::pipeline::Extensions::new(),
                }),
                (Some(Act::PanicWhenPolled), None) => panic!("{ON_PURPOSE}"),
                (Some(Act::HoldBefore(reported, error)), None) => {
                    reported.acquire().await.expect("never closed").forget();
                    probe.log().went_on += 1;
                    Err(error)
                }
                (_, None) => pending().await,
            };
            let mut marked_up = true;
            if let Ok(response) = &mut answer {
                if probe.name == "inside" {
                    response.extensions.insert(FromInside);
                } else {
                    marked_up = response.extensions.get::<FromInside>().is_some();
                }
            }
            probe.progress.answered(probe.side, operation);
            // The law can have taken the visits while this call was running.
            if let Some(visit) = probe.log().visits.get_mut(number) {
                let reported = answer.as_ref().map(|response| (response.result.clone(), response.receipt));
                visit.answer = Some(reported.map_err(Clone::clone));
                visit.marked_up = marked_up;
            }
            answer
        })
    }
}

/// The call of the inner service.
enum Inside<F> {
    AtOnce(F),
    /// After late writes.
    Behind(ProbeFuture),
}

impl<F: Future<Output = Result<PersistResponse>>> Inside<F> {
    async fn answer(self, probe: &Probe) -> Result<PersistResponse> {
        match self {
            Self::AtOnce(call) => watched(probe, call).await,
            Self::Behind(calls) => watched(probe, calls).await,
        }
    }
}

/// Applies the late writes, ignores their outcome, and then makes the call. Each write runs in a task of its own: none is part of
/// the call.
async fn one_after_the_other<S>(
    mut inner: S,
    late: Vec<PersistRequest>,
    request: PersistRequest,
) -> Result<PersistResponse>
where
    S: Service<PersistRequest, Response = PersistResponse, Error = PersistError, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    for late in late {
        let mut inner = inner.clone();
        let write = async move {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(late).await
        };
        drop(tokio::spawn(write).await);
    }
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

/// Reports, while it is polled, that the code inside of the probe runs on the thread.
async fn watched<F: Future>(probe: &Probe, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _runs = probe.progress.runs(probe.side);
        future.as_mut().poll(cx)
    })
    .await
}
