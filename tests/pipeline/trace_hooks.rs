//! The hooks of the trace layer receive the end of each call exactly once.

use std::{
    future::{IntoFuture as _, pending, poll_fn},
    pin::{Pin, pin},
    sync::mpsc::{Receiver, Sender, channel},
    task::Poll,
    time::Duration,
};

use throughline::{
    Effect, NewMessage, OpKind, PersistError, PersistRequest, PersistResponse, Persistence, Phase,
    layers::trace::{TraceHooks, TraceLayer},
    plugin::{NextRequest, from_fn},
};
use tracing::Span;

use crate::blocked::{BlockedStore, OPEN};

/// Sends a description of the end of each call.
struct SendEnds(Sender<String>);

impl TraceHooks for SendEnds {
    fn on_response(&self, _: &PersistResponse, _: Duration, _: &Span) {
        drop(self.0.send("answered".to_owned()));
    }

    fn on_failure(&self, error: &PersistError, _: Duration, _: &Span) {
        drop(self.0.send(format!("{:?}, {:?}", error.kind(), error.effect())));
    }

    fn on_left(&self, effect: Effect, _: Duration, _: &Span) {
        drop(self.0.send(format!("left, {effect:?}")));
    }
}

#[tokio::test]
async fn the_hooks_receive_the_end_of_each_call_once() {
    let (sender, ends) = channel();
    let (blocked, barriers) = BlockedStore::new(OPEN, OPEN);
    let traced = TraceLayer::with_hooks(SendEnds(sender));
    // An inner layer in which reads wait forever.
    let waits = from_fn("waits", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        if request.kind() == OpKind::Read {
            pending::<()>().await;
        }
        next.run(request).await
    });
    let db = Persistence::builder().layer(traced).layer(waits).backend(blocked).build().unwrap();
    let thread = db.thread("t");
    let message = |id: &str| NewMessage::user("hello").with_id(id.parse().unwrap());
    thread.add(message("m")).await.unwrap();
    thread.add(message("m")).await.unwrap_err();
    assert_eq!(received(&ends), ["answered", "AlreadyExists, NotApplied"]);

    let mut reading = pin!(Some(thread.get("m".parse().unwrap()).into_future()));
    assert!(poll_once(reading.as_mut().as_pin_mut().unwrap()).await.is_pending());
    assert!(received(&ends).is_empty());
    reading.set(None);
    assert_eq!(received(&ends), ["left, NotApplied"]);

    // A write that reached the store completes after its caller left, and the hooks receive its answer.
    barriers.before.forget_permits(OPEN);
    let mut adding = pin!(Some(thread.add(message("n")).into_future()));
    assert!(poll_once(adding.as_mut().as_pin_mut().unwrap()).await.is_pending());
    adding.set(None);
    assert!(received(&ends).is_empty());
    barriers.before.add_permits(1);
    db.close().await.unwrap();
    assert_eq!(received(&ends), ["answered"]);
}

fn received(ends: &Receiver<String>) -> Vec<String> {
    ends.try_iter().collect()
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
