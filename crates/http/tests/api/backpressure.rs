//! A stream whose reader takes one event at a time: what the stream keeps in memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::Request;
use serde_json::Value;
use throughline_core::{
    Content, Delta, NewReservation, PersistRequest, PersistResult, Persistence, Phase, ReadResult, Role,
    messages::{ContentChange, UpdateMode},
    plugin::{NextRequest, from_fn},
};
use throughline_http::router;
use throughline_memory::MemoryBackend;
use tower::ServiceExt;

use crate::support::tokens;

/// The most bytes of content that a stream keeps, also in its channel.
const KEPT: usize = 256 << 10;
/// The most bytes of content in one event, and of what is around it.
const EVENT: usize = 64 << 10;
const AROUND: usize = 256;
const TEXT: usize = 4 << 20;

/// Returns a store that counts the bytes of text that its tail reads return.
fn counting(bytes: Arc<AtomicUsize>) -> Persistence {
    let count = from_fn("count", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let bytes = Arc::clone(&bytes);
        async move {
            let response = next.run(request).await?;
            if let PersistResult::Read(ReadResult::Content(Some(tail))) = &response.result {
                bytes.fetch_add(tail.parts.iter().map(Delta::stored_len).sum(), SeqCst);
            }
            Ok(response)
        }
    });
    Persistence::builder().layer(count).backend(MemoryBackend::new()).build().unwrap()
}

/// Returns the text of one event of the stream, which one frame has.
fn text_of(event: &str) -> usize {
    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
    let json: Value = data.map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
    let parts = json["parts"].as_array().into_iter().flatten();
    parts.map(|part| part["text"].as_str().unwrap().len()).sum()
}

#[tokio::test]
async fn a_stream_reads_no_more_than_its_slow_reader_has_space_for() {
    let read = Arc::new(AtomicUsize::new(0));
    let db = counting(Arc::clone(&read));
    let thread = db.for_tenant("alice".parse().unwrap()).thread("t");
    let draft = thread.reserve(NewReservation::new(Role::Assistant)).await.unwrap();
    let whole = ContentChange::Replace(Content::text(&"x".repeat(TEXT)));
    thread.update_content(draft.id().clone(), whole, UpdateMode::Final).await.unwrap();
    let request = Request::get("/v1/threads/t/stream?after=0").header("authorization", "Bearer alice-token");
    let request = request.body(Body::empty()).unwrap();
    let mut body = router(db.clone(), tokens()).oneshot(request).await.unwrap().into_body();
    let (mut taken, mut kept, mut events) = (0, 0, 0);
    while taken < TEXT {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.len() <= EVENT + AROUND, "an event of {} bytes", frame.len());
        taken += text_of(std::str::from_utf8(&frame).unwrap());
        events += 1;
        // The stream reads as much as it ever will before the next event is taken.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        kept = kept.max(read.load(SeqCst) - taken);
    }
    assert_eq!((kept, read.load(SeqCst)), (KEPT, TEXT), "each byte is read once, and not too early");
    let (begin, reserved) = (1, 1);
    assert_eq!(events, begin + reserved + TEXT / EVENT);
}
