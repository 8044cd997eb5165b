//! The order of layers: phases and ranks are checked and printed.

use throughline::{
    ErrorKind, PersistError, Persistence, Phase,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
    memory::MemoryBackend,
    pipeline::LayerList,
};
use tower::layer::util::Identity;

fn refusal(built: throughline::Result<Persistence>) -> String {
    let error: PersistError = built.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.detail().to_owned()
}

#[tokio::test]
async fn describe_lists_the_layers_and_the_backend() {
    let db = Persistence::builder()
        .layer(LimitsLayer::new())
        .layer_when(Some(TraceLayer::new()))
        .layer_when(None::<TimeoutLayer>)
        .layer(RetryLayer::new())
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    assert_eq!(
        db.describe().to_string(),
        "limits   Admit\n\
         trace    Observe\n\
         retry    Route\n\
         memory   backend    volatile, idempotency keys, changes, audit, search, every operation"
    );
}

#[tokio::test]
async fn build_refuses_a_wrong_layer_order_and_states_the_right_one() {
    let built = Persistence::builder()
        .layer(TraceLayer::new())
        .layer(LimitsLayer::new())
        .backend(MemoryBackend::new())
        .build();
    assert_eq!(
        refusal(built),
        "`limits` (Admit) is inside `trace` (Observe); the right order is limits > trace"
    );
    let built = Persistence::builder()
        .layer(TimeoutLayer::new(std::time::Duration::from_secs(1)))
        .layer(RetryLayer::new())
        .backend(MemoryBackend::new())
        .build();
    assert_eq!(refusal(built), "`retry` has to stand outside `timeout`; the right order is retry > timeout");
}

#[tokio::test]
async fn build_checks_the_order_of_listed_layers_against_their_neighbors() {
    let list = LayerList::new().with_as("late", Phase::Route, Identity::new()).with(LimitsLayer::new());
    assert_eq!(list.names().collect::<Vec<_>>(), ["limits", "late"]);
    let built =
        Persistence::builder().layer(TraceLayer::new()).layers(list).backend(MemoryBackend::new()).build();
    assert_eq!(
        refusal(built),
        "`limits` (Admit) is inside `trace` (Observe); the right order is limits > trace > late"
    );
}

#[tokio::test]
async fn build_refuses_two_layers_with_one_name() {
    let built = Persistence::builder()
        .layer_as("x", Phase::Guard, Identity::new())
        .layer_as("x", Phase::Guard, Identity::new())
        .backend(MemoryBackend::new())
        .build();
    assert_eq!(refusal(built), "two layers are named `x`: number 1 and number 2");
    let built = Persistence::builder()
        .layer_as("memory", Phase::Guard, Identity::new())
        .backend(MemoryBackend::new())
        .build();
    assert_eq!(refusal(built), "a layer and the backend are both named `memory`");
}

#[tokio::test]
async fn build_refuses_251_layers_and_accepts_250() {
    let many = |count: usize| {
        (0..count)
            .fold(LayerList::new(), |list, at| list.with_as(format!("l{at}"), Phase::Route, Identity::new()))
    };
    let built = Persistence::builder().layers(many(251)).backend(MemoryBackend::new()).build();
    assert_eq!(refusal(built), "251 layers are more than the 250 of one pipeline");
    let db = Persistence::builder().layers(many(250)).backend(MemoryBackend::new()).build().unwrap();
    let error = db.thread("t").delete("m".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.site().unwrap().name(), "memory");
}

#[test]
fn build_outside_of_a_runtime_is_refused() {
    let built = Persistence::builder().backend(MemoryBackend::new()).build();
    assert_eq!(refusal(built), "a pipeline has to be built inside a tokio runtime");
}
