//! A layer that keeps its thread is named in the log while it does.
#![cfg(feature = "tracing")]

use std::{
    collections::HashMap,
    fmt,
    future::IntoFuture as _,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, OpKind, PersistRequest, Persistence, Phase, ReadArgs,
    ReadResult, Reply, Result,
    plugin::{NextRequest, from_fn},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// The subscriber panics when it has sent a warning.
static PANICS: AtomicBool = AtomicBool::new(false);

/// Sends the fields of each warning to the test that runs.
struct Warnings(Mutex<mpsc::Sender<String>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(fields.0).ok();
        assert!(!PANICS.load(Ordering::SeqCst), "on purpose");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Has no messages.
struct Empty;

impl Backend for Empty {
    fn name(&self) -> &str {
        "empty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Read])
    }

    async fn read(&self, _: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        Ok(Reply::new(ReadResult::Get(None)))
    }
}

/// A test that waits longer waits for something that does not come.
const FAR: Duration = Duration::from_secs(120);

/// The warnings of the process: tests that look at them run one after the other.
fn warnings() -> MutexGuard<'static, mpsc::Receiver<String>> {
    static WARNINGS: OnceLock<Mutex<mpsc::Receiver<String>>> = OnceLock::new();
    let warnings = WARNINGS.get_or_init(|| {
        let (warn, warnings) = mpsc::channel();
        tracing::subscriber::set_global_default(Warnings(Mutex::new(warn))).unwrap();
        Mutex::new(warnings)
    });
    warnings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pipeline whose layer `blocks` keeps the thread of a call until the test releases the call, which is named after its thread.
struct Host {
    runtime: tokio::runtime::Runtime,
    db: Persistence,
    release: HashMap<&'static str, mpsc::Sender<()>>,
}

impl Host {
    fn new(calls: &[&'static str]) -> Self {
        let (mut release, mut released) = (HashMap::new(), HashMap::new());
        for call in calls {
            let (sender, receiver) = mpsc::channel();
            release.insert(*call, sender);
            released.insert((*call).to_owned(), Mutex::new(receiver));
        }
        let released = Arc::new(released);
        let passes =
            from_fn("passes", Phase::Guard, |request: PersistRequest, next: NextRequest| next.run(request));
        let blocks = from_fn("blocks", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
            let released = Arc::clone(&released);
            async move {
                let call = thread::current().name().unwrap().to_owned();
                released[&call].lock().unwrap().recv_timeout(FAR).unwrap();
                next.run(request).await
            }
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let build = async { Persistence::builder().layer(passes).layer(blocks).backend(Empty).build() };
        let db = runtime.block_on(build).unwrap();
        Self { runtime, db, release }
    }

    /// Makes a call on a thread of this name.
    fn call(&self, name: &str) -> JoinHandle<()> {
        let (handle, db) = (self.runtime.handle().clone(), self.db.clone());
        let read = move || {
            let read = handle.block_on(db.thread("t").get("m".parse().unwrap()).into_future());
            assert_eq!(read.unwrap(), None);
        };
        thread::Builder::new().name(name.to_owned()).spawn(read).unwrap()
    }

    fn release(&self, call: &str) {
        self.release[call].send(()).unwrap();
    }
}

#[track_caller]
fn names(warning: &str, thread: &str) {
    let fields = format!("site=\"blocks\" operation=\"read\" thread=\"{thread}\"");
    assert!(warning.contains(&fields), "{warning}");
}

#[test]
fn a_layer_that_keeps_its_thread_is_named_once_while_it_does() {
    let warnings = warnings();
    let host = Host::new(&["one", "two", "three"]);
    let first = host.call("one");
    names(&warnings.recv_timeout(FAR).unwrap(), "one");
    // Until the second call is named, the watch has looked at the first one as often again.
    let second = host.call("two");
    names(&warnings.recv_timeout(FAR).unwrap(), "two");
    for (name, call) in [("one", first), ("two", second)] {
        host.release(name);
        call.join().unwrap();
    }
    let third = host.call("three");
    names(&warnings.recv_timeout(FAR).unwrap(), "three");
    host.release("three");
    third.join().unwrap();
    assert!(warnings.try_recv().is_err());
}

#[test]
fn a_subscriber_that_panics_does_not_end_the_watch() {
    let warnings = warnings();
    let host = Host::new(&["one", "two"]);
    PANICS.store(true, Ordering::SeqCst);
    let first = host.call("one");
    names(&warnings.recv_timeout(FAR).unwrap(), "one");
    host.release("one");
    first.join().unwrap();
    let second = host.call("two");
    names(&warnings.recv_timeout(FAR).unwrap(), "two");
    PANICS.store(false, Ordering::SeqCst);
    host.release("two");
    second.join().unwrap();
}
