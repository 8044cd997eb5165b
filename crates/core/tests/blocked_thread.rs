//! A layer that keeps its thread is named in the log while it does.
#![cfg(feature = "trace")]

use std::{
    fmt,
    sync::{Mutex, OnceLock, mpsc},
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

/// Sends the fields of each warning to whoever listens.
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
        self.0.lock().unwrap().send(fields.0).ok();
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

/// Whoever waits longer waits for something that does not come.
const FAR: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_layer_that_keeps_its_thread_is_named_while_it_does() {
    static RELEASE: OnceLock<Mutex<mpsc::Receiver<()>>> = OnceLock::new();
    let (warn, warnings) = mpsc::channel();
    tracing::subscriber::set_global_default(Warnings(Mutex::new(warn))).unwrap();
    let (release, released) = mpsc::channel();
    RELEASE.set(Mutex::new(released)).unwrap();
    let passes =
        from_fn("passes", Phase::Guard, |request: PersistRequest, next: NextRequest| next.run(request));
    let blocks = from_fn("blocks", Phase::Observe, |request: PersistRequest, next: NextRequest| async move {
        RELEASE.get().unwrap().lock().unwrap().recv_timeout(FAR).unwrap();
        next.run(request).await
    });
    let db = Persistence::builder().layer(passes).layer(blocks).backend(Empty).build().unwrap();
    // The layer goes on when the warning has come, and not before.
    let named = std::thread::spawn(move || {
        let warning = warnings.recv_timeout(FAR).unwrap();
        release.send(()).unwrap();
        warning
    });
    assert_eq!(db.thread("t").get("m".parse().unwrap()).await.unwrap(), None);
    let warning = named.join().unwrap();
    assert!(warning.contains("site=\"blocks\" operation=\"read\""), "{warning}");
}
