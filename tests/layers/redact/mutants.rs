//! Broken redact layers, each of which fails the named check.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use throughline::{
    PersistArgs, PersistError, PersistRequest, PersistResponse, Persistence, Phase, Result,
    layers::redact::{RedactLayer, RedactService},
    memory::MemoryBackend,
    pipeline::PersistService,
};
use tower::{Layer, Service};

use super::checks::CHECKS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Passes batches on unchanged.
    ForgetsBatches,
    /// Passes edits on unchanged.
    ForgetsEdits,
    /// Passes metadata patches on unchanged.
    ForgetsMetadata,
    /// Has no memory of earlier appends.
    ForgetsState,
    /// Passes every call on unchanged.
    PassesEverything,
}

#[derive(Clone)]
struct Broken(Fault);

impl<S: PersistService<Error = PersistError>> Layer<S> for Broken {
    type Service = BrokenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BrokenService { fault: self.0, sound: RedactLayer::secrets().layer(inner.clone()), inner }
    }
}

#[derive(Clone)]
struct BrokenService<S> {
    fault: Fault,
    sound: RedactService<S>,
    inner: S,
}

impl<S: PersistService<Error = PersistError>> Service<PersistRequest> for BrokenService<S> {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let is_edit = |args: &PersistArgs| matches!(args, PersistArgs::UpdateContent(update) if update.mode == throughline::messages::UpdateMode::Edit);
        let passes = match self.fault {
            Fault::ForgetsBatches => matches!(request.args, PersistArgs::Batch(_)),
            Fault::ForgetsEdits => is_edit(&request.args),
            Fault::ForgetsMetadata => matches!(request.args, PersistArgs::Update(_)),
            Fault::PassesEverything => true,
            _ => false,
        };
        let mut inner = self.inner.clone();
        if passes {
            return Box::pin(async move {
                std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                inner.call(request).await
            });
        }
        let mut sound = match self.fault {
            Fault::ForgetsState => RedactLayer::secrets().layer(inner),
            _ => self.sound.clone(),
        };
        Box::pin(sound.call(request))
    }
}

fn stack(fault: Fault) -> Persistence {
    let builder = Persistence::builder().layer_as("redact", Phase::Transform, Broken(fault));
    builder.backend(MemoryBackend::new()).build().unwrap()
}

/// Returns the names of the failing checks.
async fn failing(fault: Fault) -> Vec<&'static str> {
    let mut failing = Vec::new();
    for (name, check) in CHECKS {
        if tokio::spawn(check(stack(fault))).await.is_err() {
            failing.push(*name);
        }
    }
    failing
}

#[tokio::test]
async fn the_redact_layer_passes_every_check() {
    assert_eq!(failing(Fault::None).await, Vec::<&str>::new());
}

#[tokio::test]
async fn each_broken_redact_layer_fails_only_its_own_check() {
    for (fault, caught) in [
        (Fault::ForgetsBatches, vec!["batch"]),
        (Fault::ForgetsEdits, vec!["edit"]),
        (Fault::ForgetsMetadata, vec!["metadata"]),
    ] {
        assert_eq!(failing(fault).await, caught, "{fault:?}");
    }
}

#[tokio::test]
async fn a_redact_layer_without_state_fails_every_check_with_split_text() {
    assert_eq!(
        failing(Fault::ForgetsState).await,
        ["split", "batch", "replay", "refused", "blocks", "narrow"]
    );
}

#[tokio::test]
async fn a_missing_redact_layer_fails_every_check_except_narrow() {
    let all_but_narrow: Vec<&str> =
        CHECKS.iter().map(|(name, _)| *name).filter(|name| *name != "narrow").collect();
    assert_eq!(failing(Fault::PassesEverything).await, all_but_narrow);
}
