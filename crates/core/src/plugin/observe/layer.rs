use std::sync::Arc;

use tower_layer::Layer;

use super::{
    Observe, ObserverStats,
    queue::{Counters, Queue},
    service::ObserveService,
};
use crate::{
    Phase,
    error::SiteName,
    pipeline::{Described, SiteSpec},
};

/// Returns a layer that reports every completed call to `observer`.
///
/// ```
/// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
/// # struct Nowhere;
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { "nowhere" }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
/// use std::sync::mpsc::channel;
/// use throughline_core::{ErrorKind, NewMessage, Persistence, plugin::{Event, Outcome, observe}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> throughline_core::Result<()> {
/// let (sender, seen) = channel();
/// let watch = observe("watch", move |event: &Event| drop(sender.send(event.outcome)));
/// let db = Persistence::builder().layer(watch).backend(Nowhere).build()?;
/// db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
/// assert!(matches!(seen.recv().unwrap(), Outcome::Failed { kind: ErrorKind::Unsupported, .. }));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If the operating system cannot start the thread of the observer.
pub fn observe(name: &str, observer: impl Observe) -> ObserveLayer {
    let name: SiteName = name.into();
    let counters = Arc::new(Counters::default());
    let queue = Queue::start(&name, observer, Arc::clone(&counters)).expect("a thread for the observer");
    ObserveLayer { name, queue, counters }
}

/// The layer of [`observe`].
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    name: SiteName,
    queue: Queue,
    counters: Arc<Counters>,
}

impl ObserveLayer {
    /// Returns a function that reads the counters of the observer. It works after the layer was moved into a pipeline.
    pub fn stats(&self) -> impl Fn() -> ObserverStats + Send + Sync + use<> {
        let counters = Arc::clone(&self.counters);
        move || counters.stats()
    }
}

impl Described for ObserveLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new(self.name.to_string(), Phase::Observe)
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService::new(inner, self.queue.clone())
    }
}
