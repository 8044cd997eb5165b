//! Spans of the layer `trace` with OpenTelemetry names, through `tracing-opentelemetry`.

use std::collections::BTreeMap;

use opentelemetry::{
    Value,
    trace::{SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use throughline::{
    NewMessage, Persistence,
    layers::trace::{OpenTelemetry, TraceLayer},
    memory::MemoryBackend,
    messages::{Add, Batch},
};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

fn attributes(span: &SpanData) -> BTreeMap<String, Value> {
    span.attributes.iter().map(|attribute| (attribute.key.to_string(), attribute.value.clone())).collect()
}

#[tokio::test]
async fn a_span_has_the_attributes_of_the_opentelemetry_database_conventions() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let tracer = provider.tracer("tests");
    let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
    let stack = Persistence::builder().layer(TraceLayer::with_hooks(OpenTelemetry));
    let db = stack.backend(MemoryBackend::new()).build().unwrap();
    let calls = async {
        let message = || NewMessage::user("content").with_id("m".parse().unwrap());
        db.thread("t").add(message()).await.unwrap();
        db.thread("t").add(message()).await.unwrap_err();
        let add =
            |name: &str| Add::new("t".parse().unwrap(), NewMessage::user("x").with_id(name.parse().unwrap()));
        db.batch(Batch::new().with(add("a")).with(add("b"))).await.unwrap();
    };
    calls.with_subscriber(subscriber).await;
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["add", "add", "batch"]);
    for span in &spans {
        assert_eq!(span.span_kind, SpanKind::Client);
        let attributes = attributes(span);
        assert_eq!(attributes["db.system.name"], Value::from("throughline"));
        assert_eq!(attributes["db.operation.name"], Value::from(span.name.clone()));
        assert_eq!(attributes["throughline.tenant"], Value::from("default"));
    }
    assert_eq!(spans[0].status, Status::Unset);
    assert!(!attributes(&spans[0]).contains_key("error.type"));
    assert!(matches!(spans[1].status, Status::Error { .. }), "{:?}", spans[1].status);
    assert_eq!(attributes(&spans[1])["error.type"], Value::from("already_exists"));
    assert_eq!(attributes(&spans[1])["throughline.site"], Value::from("memory"));
    assert_eq!(attributes(&spans[2])["db.operation.batch.size"], Value::I64(2));
}
