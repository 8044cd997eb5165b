//! A stack changes nothing by being there.

use std::time::Duration;

use throughline_core::{
    Content, MessageState, MetadataPatch, NewReservation, Persistence, Phase, Role,
    messages::{Reserve, UpdateMode},
};
use throughline_layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer};
use tower::layer::util::Identity;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, said},
};

checks! {
    Core "layers.results_are_equal_through_every_stack" ("VL-S1") [Add Reserve UpdateContent Update Delete Read] "the five operations give equal results through no layer, eight layers and the default stack" => same;
}

/// The five operations, and everything that was answered on the way.
async fn story(db: &Persistence) -> Vec<String> {
    let thread = db.thread("t");
    let mut reported = Vec::new();
    let mut record = |answer: &dyn std::fmt::Debug| reported.push(format!("{answer:?}"));
    let message = said("question", "how?").with_metadata(facts(r#"{"channel":"telegram"}"#));
    record(&thread.add(message).await.unwrap());
    let reservation = NewReservation::new(Role::Assistant).with_id(id("answer"));
    record(&db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap());
    record(&thread.update_content(id("answer"), append("like "), UpdateMode::Partial).await.unwrap());
    record(&thread.update(id("answer"), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap());
    record(&thread.update_content(id("answer"), append("this"), UpdateMode::Final).await.unwrap());
    record(&thread.add(said("slip", "oops")).await.unwrap());
    record(&thread.delete(id("slip")).await.unwrap());
    record(&thread.add(said("slip", "again")).await.unwrap_err().kind());
    reported
}

async fn same(rig: Rig) {
    let empty = rig.sibling("empty");
    let plain = empty.db().await;
    let eight = rig.sibling("eight");
    let backend = eight.open().await;
    let noop = Identity::new;
    let through_eight = eight
        .builder()
        .layer_as("1", Phase::Admit, noop())
        .layer_as("2", Phase::Guard, noop())
        .layer_as("3", Phase::Observe, noop())
        .layer_as("4", Phase::Observe, noop())
        .layer_as("5", Phase::Transform, noop())
        .layer_as("6", Phase::Transform, noop())
        .layer_as("7", Phase::Route, noop())
        .layer_as("8", Phase::Route, noop())
        .backend(backend)
        .build()
        .unwrap();
    let usual = rig.sibling("default");
    let backend = usual.open().await;
    let through_default = usual
        .builder()
        .layer(LimitsLayer::new())
        .layer(TraceLayer::new())
        .layer(RetryLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(3600)))
        .backend(backend)
        .build()
        .unwrap();
    let reported = story(&plain).await;
    let stored = everything(&plain.thread("t")).await;
    assert_eq!(stored.len(), 2);
    assert_eq!((&stored[1].content, stored[1].state), (&Content::text("like this"), MessageState::Final));
    for db in [through_eight, through_default] {
        assert_eq!(story(&db).await, reported);
        assert_eq!(everything(&db.thread("t")).await, stored);
    }
}
