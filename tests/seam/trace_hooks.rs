//! Each call that is traced ends once, and its end is told as what it was.

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

use crate::gated::{Gated, OPEN};

/// Tells how each call has ended.
struct Ends(Sender<String>);

impl TraceHooks for Ends {
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
async fn each_call_is_told_once_as_what_it_was() {
    let (sender, ends) = channel();
    let (gated, gates) = Gated::new(OPEN, OPEN);
    let traced = TraceLayer::with_hooks(Ends(sender));
    // Further in: what is read there waits for ever.
    let waits = from_fn("waits", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        if request.kind() == OpKind::Read {
            pending::<()>().await;
        }
        next.run(request).await
    });
    let db = Persistence::builder().layer(traced).layer(waits).backend(gated).build().unwrap();
    let thread = db.thread("t");
    let message = |id: &str| NewMessage::user("hello").with_id(id.parse().unwrap());
    thread.add(message("m")).await.unwrap();
    thread.add(message("m")).await.unwrap_err();
    assert_eq!(told(&ends), ["answered", "AlreadyExists, NotApplied"]);

    let mut reading = pin!(Some(thread.get("m".parse().unwrap()).into_future()));
    assert!(poll_once(reading.as_mut().as_pin_mut().unwrap()).await.is_pending());
    assert!(told(&ends).is_empty());
    reading.set(None);
    assert_eq!(told(&ends), ["left, NotApplied"]);

    // What the store was given is seen through, and its end is the answer that nobody hears.
    gates.before.forget_permits(OPEN);
    let mut adding = pin!(Some(thread.add(message("n")).into_future()));
    assert!(poll_once(adding.as_mut().as_pin_mut().unwrap()).await.is_pending());
    adding.set(None);
    assert!(told(&ends).is_empty());
    gates.before.add_permits(1);
    db.close().await.unwrap();
    assert_eq!(told(&ends), ["answered"]);
}

fn told(ends: &Receiver<String>) -> Vec<String> {
    ends.try_iter().collect()
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
