//! Laws 2 and 4: every error, panic and timeout names its site and its effect.

use std::time::Duration;

use throughline::{
    BoxError, Effect, ErrorKind, MessageId, NewMessage, PersistError, PersistRequest, PersistResponse,
    PersistResult, Persistence, Phase, Result,
    memory::MemoryBackend,
    pipeline::LayerList,
    plugin::{FromFn, NextRequest, from_fn},
    redirect::redirect,
};
use tower::{ServiceExt, layer::layer_fn};

use crate::kind_effect_site;

/// The behavior of the layer in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    FailBefore,
    FailAfter,
    PanicBefore,
    PanicAfter,
    HangBefore,
    HangAfter,
    WrongIdDown,
    WrongIdUp,
    WrongKindUp,
}

async fn faulty(fault: Fault, mut request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
    let other = || "other".parse::<MessageId>().expect("an id");
    match fault {
        Fault::FailBefore => return Err(PersistError::new(ErrorKind::Denied, "no")),
        Fault::PanicBefore => panic!("planned"),
        Fault::HangBefore => std::future::pending().await,
        Fault::WrongIdDown => {
            if let throughline::PersistArgs::Add(add) = &mut request.args {
                add.id = other();
            }
        }
        _ => {}
    }
    let mut response = next.run(request).await?;
    match fault {
        Fault::FailAfter => return Err(PersistError::new(ErrorKind::Internal, "no")),
        Fault::PanicAfter => panic!("planned"),
        Fault::HangAfter => std::future::pending().await,
        Fault::WrongIdUp => {
            if let PersistResult::Add(added) = &mut response.result {
                added.message.id = other();
            }
        }
        Fault::WrongKindUp => {
            response.result = PersistResult::Read(throughline::ReadResult::Get(None));
        }
        _ => {}
    }
    Ok(response)
}

type Faulty = FromFn<Box<dyn Fn(PersistRequest, NextRequest) -> Answer + Send + Sync>>;
type Answer = std::pin::Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

fn layer(fault: Fault) -> Faulty {
    from_fn(
        "middle",
        Phase::Observe,
        Box::new(move |request, next| Box::pin(faulty(fault, request, next)) as Answer),
    )
}

fn pass(name: &str) -> FromFn<impl Fn(PersistRequest, NextRequest) -> Answer + Send + Sync + use<>> {
    from_fn(name, Phase::Observe, |request, next: NextRequest| Box::pin(next.run(request)) as Answer)
}

/// The fault, the expected kind and effect, and whether the store has the message afterwards.
const CASES: [(Fault, ErrorKind, Effect, bool); 9] = [
    (Fault::FailBefore, ErrorKind::Denied, Effect::NotApplied, false),
    (Fault::FailAfter, ErrorKind::Internal, Effect::Applied, true),
    (Fault::PanicBefore, ErrorKind::Panicked, Effect::NotApplied, false),
    (Fault::PanicAfter, ErrorKind::Panicked, Effect::Applied, true),
    (Fault::HangBefore, ErrorKind::Timeout, Effect::NotApplied, false),
    (Fault::HangAfter, ErrorKind::Timeout, Effect::Applied, true),
    (Fault::WrongIdDown, ErrorKind::ContractViolation, Effect::NotApplied, false),
    (Fault::WrongIdUp, ErrorKind::ContractViolation, Effect::Applied, true),
    (Fault::WrongKindUp, ErrorKind::ContractViolation, Effect::Applied, true),
];

async fn assert_case(db: &Persistence, case: (Fault, ErrorKind, Effect, bool), form: &str) {
    let (fault, kind, effect, stored) = case;
    let id: MessageId = format!("{fault:?}").parse().unwrap();
    let message = NewMessage::user("hello").with_id(id.clone());
    let error = db.thread("t").add(message).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (kind, effect, "middle"), "{fault:?} as {form}: {error}");
    assert_eq!(error.message(), Some(&id));
    assert_eq!(error.thread().map(AsRef::as_ref), Some("t"));
    // The pipeline serves the next call, and its error shows whether the first one was stored.
    let add = NewMessage::user("hello").with_id(id);
    let again = db.for_tenant("default".parse().unwrap()).thread("t");
    let error = again.add(add).deadline(Duration::from_secs(1)).await.unwrap_err();
    if stored {
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{fault:?} as {form}");
    } else {
        assert_eq!(error.kind(), kind, "{fault:?} as {form}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_static_layer_that_caused_it() {
    for case in CASES {
        let db = Persistence::builder()
            .layer(pass("outer"))
            .layer(layer(case.0))
            .layer(pass("inner"))
            .backend(MemoryBackend::new())
            .build()
            .unwrap();
        assert_case(&db, case, "a static layer").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_listed_layer_that_caused_it() {
    for case in CASES {
        let list = LayerList::new().with(pass("outer")).with(layer(case.0)).with(pass("inner"));
        let db = Persistence::builder().layers(list).backend(MemoryBackend::new()).build().unwrap();
        assert_case(&db, case, "an item of a list").await;
    }
}

#[tokio::test]
async fn an_error_keeps_kind_site_and_effect_through_foreign_layers() {
    // A foreign layer that boxes every error and keeps no type.
    let boxing = || {
        layer_fn(|inner: throughline::pipeline::SharedService| {
            inner.map_err(|error| -> BoxError { error.into() })
        })
    };
    let list = LayerList::new().with_as("boxing", Phase::Observe, boxing()).with_as(
        "again",
        Phase::Observe,
        boxing(),
    );
    let db = Persistence::builder()
        .layers(list)
        .layer(layer(Fault::FailAfter))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Internal, Effect::Applied, "middle"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_foreign_tower_layer_has_its_given_name() {
    let (blocked, _barriers) = crate::blocked::BlockedStore::new(0, 0);
    let timeout = tower::timeout::TimeoutLayer::new(Duration::from_secs(1));
    let db =
        Persistence::builder().layer_as("foreign", Phase::Route, timeout).backend(blocked).build().unwrap();
    let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Internal, Effect::Unknown, "foreign"));
}

#[tokio::test]
async fn an_error_of_a_pipeline_inside_another_names_the_whole_path() {
    let deny =
        from_fn("deny", Phase::Guard, |_, _| async { Err(PersistError::new(ErrorKind::Denied, "no")) });
    let second = Persistence::builder()
        .layer(pass("a"))
        .layer(pass("b"))
        .layer(pass("c"))
        .backend(MemoryBackend::new().with_name("second"))
        .build()
        .unwrap();
    let third = Persistence::builder().layer(deny).backend(MemoryBackend::new()).build().unwrap();
    let db = Persistence::builder()
        .layer(redirect("to-second", |_, thread| thread.as_str() == "second", second))
        .layer(redirect("to-third", |_, thread| thread.as_str() == "third", third))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let missing = db.thread("second").delete("m".parse().unwrap()).await.unwrap_err();
    assert_eq!(kind_effect_site(&missing), (ErrorKind::NotFound, Effect::NotApplied, "to-second/second"));
    let denied = db.thread("third").delete("m".parse().unwrap()).await.unwrap_err();
    assert_eq!(kind_effect_site(&denied), (ErrorKind::Denied, Effect::NotApplied, "to-third/deny"));
}

#[tokio::test]
async fn a_malformed_call_is_refused_at_the_edge() {
    let db = Persistence::builder()
        .layer(layer(Fault::PanicBefore))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let error = db.thread("").add(NewMessage::user("hello")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Invalid, Effect::NotApplied, "edge"));
    assert_eq!(
        error.to_string(),
        "add failed in the edge: thread id: is empty (invalid, nothing was applied)"
    );
    let error = db.thread("t").add(NewMessage::user("hello")).key("a\nb").await.unwrap_err();
    assert_eq!(error.detail(), "idempotency key: holds a control character at byte 1");
    let error = db.thread("t").page(throughline::messages::PageFrom::Start, 0).await.unwrap_err();
    assert_eq!(error.detail(), "a limit of 0 is not from 1 to 1000");
}

#[tokio::test]
async fn an_error_repeats_a_panic_message_only_if_it_is_a_literal() {
    let secret = "hunter2".to_owned();
    let leaky = from_fn("leaky", Phase::Observe, move |_, _| {
        let secret = secret.clone();
        async move { panic!("the password is {secret}") }
    });
    let db = Persistence::builder().layer(leaky).backend(MemoryBackend::new()).build().unwrap();
    let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
    assert_eq!(error.detail(), "panicked");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// A pipeline is an ordinary tower service: this test calls it directly.
#[tokio::test]
async fn a_handle_is_a_tower_service_for_untyped_calls() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let add = throughline::messages::Add::new("t".parse().unwrap(), NewMessage::user("hello"));
    let response = db.clone().oneshot(add.into()).await.unwrap();
    assert_eq!(response.receipt.position.map(throughline::Position::get), Some(1));
    let echo = tower::ServiceBuilder::new()
        .map_response(|response: PersistResponse| response.result.kind())
        .service(db);
    let add = throughline::messages::Add::new("t".parse().unwrap(), NewMessage::user("again"));
    assert_eq!(echo.oneshot(add.into()).await.unwrap(), throughline::OpKind::Add);
}

/// A plugin that writes an audit entry to another pipeline, and returns its errors.
#[tokio::test]
async fn an_error_of_a_nested_call_does_not_replace_the_effect_of_the_outer_call() {
    let deny = throughline::plugin::respond("deny", |_: &throughline::PersistArgs, _: &_| {
        Some(Err(PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied)))
    });
    let audit = Persistence::builder().plugin(deny).backend(MemoryBackend::new()).build().unwrap();
    let audited = from_fn("audited", Phase::Observe, move |request, next: NextRequest| {
        let audit = audit.clone();
        async move {
            let response = next.run(request).await?;
            audit.thread("log").add(NewMessage::user("done")).await?;
            Ok(response)
        }
    });
    let db = Persistence::builder().layer(audited).backend(MemoryBackend::new()).build().unwrap();
    let error = db.thread("t").add(NewMessage::user("a").with_id("m".parse().unwrap())).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Busy, Effect::Applied, "audited"));
    assert_eq!(error.message().map(AsRef::as_ref), Some("m"));
    assert!(!error.is_transient());
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("deny"));
}

/// A layer whose `poll_ready` fails or panics.
#[derive(Clone)]
struct Unready<S>(S, bool);

impl<S: tower::Service<PersistRequest, Error = PersistError>> tower::Service<PersistRequest> for Unready<S> {
    type Response = S::Response;
    type Error = PersistError;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<()>> {
        assert!(self.1, "planned");
        std::task::Poll::Ready(Err(PersistError::new(ErrorKind::Overloaded, "full")))
    }

    fn call(&mut self, request: PersistRequest) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn an_error_names_the_layer_whose_poll_ready_fails() {
    for (fails, kind) in [(true, ErrorKind::Overloaded), (false, ErrorKind::Panicked)] {
        let unready = layer_fn(move |inner| Unready(inner, fails));
        let alone = LayerList::new().with_as("unready", Phase::Route, unready);
        let db = Persistence::builder().layers(alone).backend(MemoryBackend::new()).build().unwrap();
        let error = db.thread("t").add(NewMessage::user("a")).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (kind, Effect::NotApplied, "unready"));
        let unready = layer_fn(move |inner| Unready(inner, fails));
        let inside = LayerList::new().with(pass("ready")).with_as("unready", Phase::Route, unready);
        let db = Persistence::builder().layers(inside).backend(MemoryBackend::new()).build().unwrap();
        let error = db.thread("t").add(NewMessage::user("a")).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (kind, Effect::NotApplied, "unready"));
    }
}
