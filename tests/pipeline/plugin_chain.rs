//! Adjacent plugins run as one layer. Each of them has its own guard and its own site, as plugins in layers of their own have.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use throughline::{
    Call, Context, Effect, ErrorKind, MessageId, NewMessage, Next, OpKind, Operation, PersistError,
    Persistence, Plugin, PluginLayer, Reply, Result,
    memory::MemoryBackend,
    messages::{Add, GetMessage},
};

use crate::kind_effect_site;

/// The behavior of the plugin in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    PanicBefore,
    PanicAfter,
    HangBefore,
    WrongIdDown,
    WrongIdUp,
    /// Forwards each call with the context of the first call.
    ForeignCall,
    /// Reads a message before it forwards the call.
    Read,
    /// Reads a message on behalf of the first call before it forwards the call.
    ForeignRead,
    /// Drops the inner call when it waits.
    Leave,
}

/// The calls and the failures that the outer and the inner plugin have seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    failures: Arc<Mutex<Vec<(ErrorKind, Effect, String)>>>,
    inner: Arc<Mutex<Vec<OpKind>>>,
    inner_was_dropped: Arc<AtomicBool>,
}

struct Outer(Seen);

impl Plugin for Outer {
    fn name(&self) -> &str {
        "outer"
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let answer = next.run(call).await;
        if let Err(error) = &answer {
            let (kind, effect, site) = kind_effect_site(error);
            self.0.failures.lock().unwrap().push((kind, effect, site.to_owned()));
        }
        answer
    }
}

struct Middle {
    act: Act,
    first: Mutex<Option<Context>>,
    seen: Seen,
}

impl Plugin for Middle {
    fn name(&self) -> &str {
        "middle"
    }

    async fn add(&self, mut call: Call<Add>, mut next: Next<'_, Add>) -> Result<Reply<Add>> {
        let other = || "other".parse::<MessageId>().expect("an id");
        match self.act {
            Act::PanicBefore => panic!("planned"),
            Act::HangBefore => pending().await,
            Act::WrongIdDown => call.op.id = other(),
            Act::ForeignCall => {
                call.context = self.first.lock().unwrap().get_or_insert(call.context).clone();
            }
            Act::Read => {
                let get = GetMessage { thread: call.op.thread.clone(), id: call.op.id.clone() };
                assert_eq!(next.read(&call.context, get).await?, None);
            }
            Act::ForeignRead => {
                let first = self.first.lock().unwrap().get_or_insert(call.context.clone()).clone();
                let get = GetMessage { thread: call.op.thread.clone(), id: call.op.id.clone() };
                next.read(&first, get).await?;
            }
            Act::Leave => {
                {
                    let mut inner = pin!(next.run(call));
                    let polled = poll_fn(|cx| Poll::Ready(inner.as_mut().poll(cx).is_pending())).await;
                    assert!(polled && !self.seen.inner_was_dropped.load(Ordering::SeqCst));
                }
                assert!(self.seen.inner_was_dropped.load(Ordering::SeqCst));
                return Err(PersistError::new(ErrorKind::Busy, "left"));
            }
            Act::PanicAfter | Act::WrongIdUp => {}
        }
        let mut reply = next.run(call).await?;
        match self.act {
            Act::PanicAfter => panic!("planned"),
            Act::WrongIdUp => reply.output.message.id = other(),
            _ => {}
        }
        Ok(reply)
    }
}

struct Inner {
    waits: bool,
    seen: Seen,
}

impl Plugin for Inner {
    fn name(&self) -> &str {
        "inner"
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        struct SetOnDrop(Arc<AtomicBool>);
        impl Drop for SetOnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _dropped = SetOnDrop(Arc::clone(&self.seen.inner_was_dropped));
        self.seen.inner.lock().unwrap().push(O::KIND);
        if self.waits {
            pending::<()>().await;
        }
        next.run(call).await
    }
}

/// Returns the same plugins as one layer, and as a layer each.
fn stacks(act: Act) -> [(Persistence, Seen); 2] {
    let plugins = || {
        let seen = Seen::default();
        let middle = Middle { act, first: Mutex::new(None), seen: seen.clone() };
        let inner = Inner { waits: act == Act::Leave, seen: seen.clone() };
        (Outer(seen.clone()), middle, inner, seen)
    };
    let builder = || Persistence::builder().deadline(Duration::from_secs(60));
    let (outer, middle, inner, seen) = plugins();
    let one_layer = builder().plugin(outer).plugin(middle).plugin(inner).backend(MemoryBackend::new());
    let one_layer = (one_layer.build().unwrap(), seen);
    let (outer, middle, inner, seen) = plugins();
    let a_layer_each = builder()
        .layer(PluginLayer::new(outer))
        .layer(PluginLayer::new(middle))
        .layer(PluginLayer::new(inner))
        .backend(MemoryBackend::new());
    [one_layer, (a_layer_each.build().unwrap(), seen)]
}

/// Adds a message that fails, and compares the error of the caller and of the outer plugin.
#[track_caller]
fn assert_failed(error: &PersistError, seen: &Seen, expected: (ErrorKind, Effect, &str)) {
    assert_eq!(kind_effect_site(error), expected, "{error}");
    let (kind, effect, site) = expected;
    let of_outer = vec![(kind, effect, site.to_owned())];
    assert_eq!(*seen.failures.lock().unwrap(), of_outer);
}

async fn add(db: &Persistence) -> PersistError {
    db.thread("t").add(NewMessage::user("x").with_id("m".parse().unwrap())).await.unwrap_err()
}

#[tokio::test]
async fn a_panic_of_a_plugin_is_an_error_for_the_plugin_outside_and_names_the_plugin() {
    for (db, seen) in stacks(Act::PanicBefore) {
        let expected = (ErrorKind::Panicked, Effect::NotApplied, "middle");
        assert_failed(&add(&db).await, &seen, expected);
        assert_eq!(*seen.inner.lock().unwrap(), []);
    }
    for (db, seen) in stacks(Act::PanicAfter) {
        assert_failed(&add(&db).await, &seen, (ErrorKind::Panicked, Effect::Applied, "middle"));
        assert_eq!(*seen.inner.lock().unwrap(), [OpKind::Add]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_names_the_plugin_that_hangs() {
    for (db, _) in stacks(Act::HangBefore) {
        let expected = (ErrorKind::Timeout, Effect::NotApplied, "middle");
        assert_eq!(kind_effect_site(&add(&db).await), expected);
    }
}

#[tokio::test]
async fn a_changed_id_is_refused_before_the_next_plugin_and_names_the_plugin_that_changed_it() {
    for (db, seen) in stacks(Act::WrongIdDown) {
        let error = add(&db).await;
        assert_failed(&error, &seen, (ErrorKind::ContractViolation, Effect::NotApplied, "middle"));
        assert_eq!(error.detail(), "forwarded another message id than it received");
        assert_eq!(*seen.inner.lock().unwrap(), []);
    }
    for (db, seen) in stacks(Act::WrongIdUp) {
        let error = add(&db).await;
        assert_failed(&error, &seen, (ErrorKind::ContractViolation, Effect::Applied, "middle"));
        assert_eq!(error.detail(), "answered for another message id than it was asked");
    }
}

#[tokio::test]
async fn a_call_of_another_caller_is_refused_before_the_next_plugin() {
    for (db, seen) in stacks(Act::ForeignCall) {
        db.thread("t").add(NewMessage::user("first")).await.unwrap();
        let error = add(&db).await;
        assert_eq!(kind_effect_site(&error), (ErrorKind::ContractViolation, Effect::NotApplied, "middle"));
        assert_eq!(error.detail(), "forwarded a call of another caller");
        assert_eq!(*seen.inner.lock().unwrap(), [OpKind::Add]);
        assert_eq!(db.thread("t").get("m".parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_read_of_a_plugin_passes_the_plugins_inside() {
    for (db, seen) in stacks(Act::Read) {
        db.thread("t").add(NewMessage::user("x")).await.unwrap();
        assert_eq!(*seen.inner.lock().unwrap(), [OpKind::Read, OpKind::Add]);
    }
}

#[tokio::test]
async fn a_read_on_behalf_of_another_caller_is_refused_before_the_next_plugin() {
    for (db, seen) in stacks(Act::ForeignRead) {
        db.thread("t").add(NewMessage::user("first")).await.unwrap();
        let error = add(&db).await;
        assert_eq!(kind_effect_site(&error), (ErrorKind::ContractViolation, Effect::NotApplied, "middle"));
        assert_eq!(error.detail(), "forwarded a call of another caller");
        assert_eq!(*seen.inner.lock().unwrap(), [OpKind::Read, OpKind::Add]);
    }
}

#[tokio::test]
async fn a_plugin_that_drops_the_inner_call_ends_the_plugins_inside() {
    for (db, seen) in stacks(Act::Leave) {
        assert_failed(&add(&db).await, &seen, (ErrorKind::Busy, Effect::NotApplied, "middle"));
        assert_eq!(*seen.inner.lock().unwrap(), [OpKind::Add]);
    }
}

#[tokio::test]
async fn plugins_between_layers_stand_in_the_order_of_registration() {
    let named = |name| PluginLayer::new(Named(name));
    let db = Persistence::builder()
        .plugin(Named("a"))
        .plugin(Named("b"))
        .layer(named("c"))
        .layer_when(Some(named("d")))
        .plugin(Named("e"))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    assert_eq!(db.describe().names().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "memory"]);
    // The last plugin fails at its own site.
    let error = db.thread("t").delete("m".parse().unwrap()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Denied, Effect::NotApplied, "e"));
}

/// A plugin that refuses calls if its name is `e`.
struct Named(&'static str);

impl Plugin for Named {
    fn name(&self) -> &str {
        self.0
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        if self.0 == "e" {
            return Err(PersistError::new(ErrorKind::Denied, "no"));
        }
        next.run(call).await
    }
}
