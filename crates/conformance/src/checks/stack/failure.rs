//! A layer that fails, panics or hangs: the error names it and states the effect, and the next call succeeds.

use std::{future::pending, sync::Arc, time::Duration};

use throughline_core::{
    Effect, ErrorKind, PersistError, PersistRequest, PersistResponse, Persistence, Phase, Result, Site,
    messages::PageFrom,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};
use tokio::sync::Semaphore;
use tower::{layer::layer_fn, util::service_fn};

use crate::{
    check::checks,
    rig::Rig,
    runner::ON_PURPOSE,
    shorthand::{everything, id, said},
    timers::{advance_timers, on_other_runtime},
};

checks! {
    Core "layers.failing_layer_is_named_with_the_effect" ("VL-S8") [Add Read] "a layer that fails before or after the store is named with the effect of that moment" => error;
    Core "layers.panicking_layer_is_named" ("VL-S8") [Add Read] "a layer that panics at any moment is named, and the next call succeeds" => panic;
    Core "layers.hang_before_the_store_is_named" ("VL-S8") [Add Read] "a layer that hangs before the store past the deadline is named with `Effect::NotApplied`" => hang_before;
    Core "layers.hang_after_the_store_is_named" ("VL-S8") [Add Read] "a layer that hangs after the store past the deadline is named with `Effect::Applied`" => hang_after;
    Core "layers.backend_error_keeps_kind_and_effect" ("VL-S8") [Add Read] "an error of the backend names the backend, and no layer changes its kind or effect" => backend;
}

/// The failure of a misbehaving layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Error,
    Panic,
    Hang,
}

impl Wrong {
    async fn happen(self) -> Result<()> {
        match self {
            Self::Error => Err(PersistError::new(ErrorKind::Denied, ON_PURPOSE)),
            Self::Panic => panic!("{ON_PURPOSE}"),
            Self::Hang => pending().await,
        }
    }
}

/// A layer that goes wrong in writes to the thread `wrong`, before or after the ones inside it, and lets it be known when
/// it comes to that.
fn wrong(case: Wrong, before: bool, reached: Arc<Semaphore>) -> FromFn<impl AsyncRequestFn> {
    from_fn("kit.wrong", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
        let reached = Arc::clone(&reached);
        async move {
            let fails = request.kind().is_write()
                && request.context.thread().is_some_and(|thread| thread.as_str() == "wrong");
            if fails && before {
                reached.add_permits(1);
                case.happen().await?;
            }
            let answer = next.run(request).await;
            if fails && !before {
                reached.add_permits(1);
                case.happen().await?;
            }
            answer
        }
    })
}

async fn stack(rig: &Rig, case: Wrong, before: bool) -> (Persistence, Arc<Semaphore>) {
    let rig = rig.sibling(if before { "before" } else { "after" });
    let reached = Arc::new(Semaphore::new(0));
    let passes = from_fn("passes", Phase::Guard, |request, next: NextRequest| next.run(request));
    let stack = rig.builder().layer(passes).layer(wrong(case, before, Arc::clone(&reached)));
    (stack.backend(rig.open().await).build().unwrap(), reached)
}

/// The error names the layer and says the truth.
#[track_caller]
fn named(error: &PersistError, kind: ErrorKind, before: bool) {
    let effect = if before { Effect::NotApplied } else { Effect::Applied };
    assert_eq!((error.kind(), error.effect()), (kind, effect), "{error}");
    assert_eq!(error.site().map(Site::name), Some("kit.wrong"), "{error}");
    assert_eq!(error.message(), Some(&id("m")));
}

/// So it does, and the next call is served.
async fn reported(db: &Persistence, error: &PersistError, kind: ErrorKind, before: bool) {
    named(error, kind, before);
    assert_eq!(everything(&db.thread("wrong")).await.len(), usize::from(!before), "{error}");
    db.thread("right").add(said("m", "x")).await.expect("the next call");
}

async fn error(rig: Rig) {
    for before in [true, false] {
        let (db, _) = stack(&rig, Wrong::Error, before).await;
        let error = db.thread("wrong").add(said("m", "x")).await.expect_err("it fails");
        reported(&db, &error, ErrorKind::Denied, before).await;
    }
}

async fn panic(rig: Rig) {
    for before in [true, false] {
        let (db, _) = stack(&rig, Wrong::Panic, before).await;
        let error = db.thread("wrong").add(said("m", "x")).await.expect_err("it panics");
        reported(&db, &error, ErrorKind::Panicked, before).await;
    }
    // In the call itself, before there is anything to poll.
    let rig = rig.sibling("called");
    let layer = layer_fn(|inner| {
        service_fn(move |request: PersistRequest| {
            let fails = request.context.thread().is_some_and(|thread| thread.as_str() == "wrong");
            assert!(!(fails && request.kind().is_write()), "{ON_PURPOSE}");
            let inner: throughline_core::pipeline::SharedService = Clone::clone(&inner);
            tower::ServiceExt::oneshot(inner, request)
        })
    });
    let list = throughline_core::pipeline::LayerList::new().with_as("kit.wrong", Phase::Observe, layer);
    let db = rig.builder().layers(list).backend(rig.open().await).build().unwrap();
    let error = db.thread("wrong").add(said("m", "x")).await.expect_err("it panics");
    reported(&db, &error, ErrorKind::Panicked, true).await;
}

async fn hang_before(rig: Rig) {
    hang(&rig, true).await;
}

async fn hang_after(rig: Rig) {
    hang(&rig, false).await;
}

async fn hang(rig: &Rig, before: bool) {
    const DEADLINE: Duration = Duration::from_secs(3600);
    let (db, reached) = stack(rig, Wrong::Hang, before).await;
    let call = tokio::spawn(db.thread("wrong").add(said("m", "x")).deadline(DEADLINE).into_future());
    reached.acquire().await.expect("never closed").forget();
    advance_timers(DEADLINE + Duration::from_secs(1)).await;
    let error = call.await.expect("no panic").expect_err("it hangs");
    named(&error, ErrorKind::Timeout, before);
    let (read, next) = on_other_runtime(async move {
        let read = db.thread("wrong").page(PageFrom::Start, 10).await;
        (read, db.thread("right").add(said("m", "x")).await)
    })
    .await;
    assert_eq!(read.expect("a page").messages.len(), usize::from(!before), "{error}");
    next.expect("the next call");
}

async fn backend(rig: Rig) {
    let backend = rig.open().await;
    let name = throughline_core::Backend::name(&backend).to_owned();
    let softens =
        from_fn("softens", Phase::Observe, |request: PersistRequest, next: NextRequest| async move {
            let answer: Result<PersistResponse> = next.run(request).await;
            answer.map_err(|error| error.context("while softening"))
        });
    let db = rig.builder().layer(softens).backend(backend).build().unwrap();
    db.thread("t").add(said("m", "x")).await.unwrap();
    let error = db.thread("t").add(said("m", "x")).await.expect_err("it exists");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::NotApplied));
    assert_eq!(error.site(), Some(&Site::Backend(name.as_str().into())));
    assert!(error.detail().starts_with("while softening: "), "{error}");
    assert_eq!(error.operation(), Some(throughline_core::OpKind::Add));
    assert_eq!(error.thread().map(throughline_core::ThreadId::as_str), Some("t"));
}
