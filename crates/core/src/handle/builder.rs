use std::{borrow::Cow, convert::Infallible, panic::catch_unwind, sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::sleep};
use tower::layer::util::{Identity, Stack};
use tower::util::Either;
use tower_layer::Layer;
use tower_service::Service;

use crate::pipeline::{
    Admission, AuditTrail, AutoKey, BoxedLayers, Core, Described, Description, Guard, InFlight, Keyless,
    LayerList, Parts, PersistService, Phase, SharedService, SiteSpec, Terminal, order,
};
use crate::{
    Backend, Effect, ErrorKind, IdempotencyKey, PersistError, PersistRequest, PersistResponse, Persistence,
    Plugin, Result, Site,
    context::{Clock, SystemClock},
    operation::FingerprintKey,
    plugin::TakesPlugin,
};

/// Builds a pipeline: add layers from the outside in, set a backend, and call [`build`](Self::build).
///
/// See [`pipeline`](crate::pipeline) for an example and the rules of order.
#[derive(Debug)]
#[must_use = "nothing is built before `build()`"]
pub struct Builder<L = Identity, B = NoBackend> {
    layers: L,
    backend: B,
    specs: Vec<SiteSpec>,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
    admission: Admission,
    deadline: Option<Duration>,
    clock: Arc<dyn Clock>,
    fingerprints: Option<FingerprintKey>,
    auto_key: AutoKey,
}

/// The type parameter of a builder without a backend.
#[derive(Debug, Clone, Copy)]
pub struct NoBackend;

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            layers: Identity::new(),
            backend: NoBackend,
            specs: Vec::new(),
            settings: Settings {
                admission: Admission::default(),
                deadline: None,
                clock: Arc::new(SystemClock),
                fingerprints: None,
                auto_key: AutoKey::default(),
            },
        }
    }
}

impl<L, B> Builder<L, B> {
    /// Adds a layer inside the earlier ones. The layer states its own name and phase.
    pub fn layer<N>(self, layer: N) -> Builder<Stack<Guard<N>, L>, B>
    where
        N: Described + Layer<Probe, Service: PersistService>,
    {
        let spec = layer.site();
        self.push(spec, layer)
    }

    /// Adds any tower layer inside the earlier ones, with this name and phase.
    ///
    /// The pipeline passes on the layer's errors of type [`PersistError`], boxed or not. Any other error becomes
    /// [`Internal`](ErrorKind::Internal).
    pub fn layer_as<N>(
        self,
        name: impl Into<Cow<'static, str>>,
        phase: Phase,
        layer: N,
    ) -> Builder<Stack<Guard<N>, L>, B>
    where
        N: Layer<Probe, Service: PersistService>,
    {
        self.push(SiteSpec::new(name, phase), layer)
    }

    /// Adds a layer if there is one. `None` adds no site.
    pub fn layer_when<N>(self, layer: Option<N>) -> Builder<Stack<Either<Guard<N>, Identity>, L>, B>
    where
        N: Described + Layer<Probe, Service: PersistService>,
    {
        match layer {
            None => self.stack(Either::Right(Identity::new()), []),
            Some(layer) => {
                let spec = layer.site();
                let guard = Guard::new(layer, self.next_index());
                self.stack(Either::Left(guard), [spec])
            }
        }
    }

    /// Adds layers that the host chooses at run time. Each is a site of its own.
    pub fn layers(self, list: LayerList) -> Builder<Stack<BoxedLayers, L>, B> {
        let specs: Vec<_> = list.specs().collect();
        let first = self.next_index();
        self.stack(list.at(first), specs)
    }

    /// Adds a plugin inside the earlier layers. The plugin states its own name and phase. Plugins that are added one after the
    /// other share one allocation for each call.
    ///
    /// The order is the one in which the host adds them; [`build`](Self::build) refuses one that the phases forbid. For plugins
    /// that the host chooses at run time, use [`layers`](Self::layers) with a [`PluginLayer`](crate::PluginLayer) of each.
    pub fn plugin<P: Plugin>(mut self, plugin: P) -> Builder<L::With<P>, B>
    where
        L: TakesPlugin,
    {
        let site = self.next_index();
        self.specs.push(SiteSpec::new(plugin.name().to_owned(), plugin.phase()));
        Builder {
            layers: self.layers.with_plugin(plugin, site),
            backend: self.backend,
            specs: self.specs,
            settings: self.settings,
        }
    }

    /// Sets how many calls can run at once, and how many can wait.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = admission;
        self
    }

    /// Sets the deadline of each call for which neither the handle nor the call sets one. By default a call has no
    /// deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Sets the clock that timestamps come from. The default is the clock of the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Sets a secret of the host that keys the fingerprints of idempotent calls. Without the secret, a reader of the
    /// store cannot test guesses at content.
    ///
    /// Keep the same secret as long as idempotency keys must be recognized: with another secret, every repeated key is
    /// a conflict. The store does not keep the secret. The default is a random key that the store generated, which a
    /// copy of all files of the store may contain.
    pub fn fingerprint_secret(mut self, secret: &[u8]) -> Self {
        self.settings.fingerprints = Some(FingerprintKey::derive(secret));
        self
    }

    /// Sets a function that derives the idempotency key of each write without one. The pipeline does not call it for
    /// a write that has a key or that takes none. If `derive` returns `None`, the write has no key.
    ///
    /// Derive the key from a value that identifies this one write, such as the id of the event that caused it. Two
    /// different writes to a thread with one key are a conflict, and two equal writes with one key are one write. The
    /// pipeline calls `derive` before the first layer, because the fingerprint covers the arguments of the caller. If
    /// `derive` panics, the call fails and nothing is applied.
    ///
    /// ```
    /// # use throughline_core::{Admitted, Backend, Capabilities, Durability};
    /// # struct Nowhere;
    /// # impl Backend for Nowhere {
    /// #     fn name(&self) -> &str { "nowhere" }
    /// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
    /// # }
    /// use throughline_core::{IdempotencyKey, NewMessage, PersistArgs, Persistence, pipeline::Keyless};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> throughline_core::Result<()> {
    /// // The webhook names the id of each message after its event, so that the id identifies the write.
    /// let key = |keyless: Keyless<'_>| match keyless.args {
    ///     PersistArgs::Add(add) if keyless.call_site == Some("webhook") => {
    ///         IdempotencyKey::new(format!("webhook:{}", add.id)).ok()
    ///     }
    ///     _ => None,
    /// };
    /// let db = Persistence::builder().auto_key(key).backend(Nowhere).build()?;
    /// let message = NewMessage::user("hello").with_id("update-1007".parse()?);
    /// let error = db.with_call_site("webhook").thread("t").add(message).await.unwrap_err();
    /// assert_eq!(error.idempotency_key().unwrap().as_str(), "webhook:update-1007");
    /// # Ok(())
    /// # }
    /// ```
    pub fn auto_key(
        mut self,
        derive: impl Fn(Keyless<'_>) -> Option<IdempotencyKey> + Send + Sync + 'static,
    ) -> Self {
        self.settings.auto_key = AutoKey::new(derive);
        self
    }

    fn next_index(&self) -> u8 {
        // `build` refuses too many layers before it uses an index.
        u8::try_from(self.specs.len()).unwrap_or(u8::MAX)
    }

    fn push<N>(self, spec: SiteSpec, layer: N) -> Builder<Stack<Guard<N>, L>, B> {
        let guard = Guard::new(layer, self.next_index());
        self.stack(guard, [spec])
    }

    fn stack<N>(mut self, layer: N, specs: impl IntoIterator<Item = SiteSpec>) -> Builder<Stack<N, L>, B> {
        self.specs.extend(specs);
        Builder {
            layers: Stack::new(layer, self.layers),
            backend: self.backend,
            specs: self.specs,
            settings: self.settings,
        }
    }
}

impl<L> Builder<L, NoBackend> {
    /// Sets the backend at the end of the pipeline. The pipeline owns the backend, so that no call bypasses the layers.
    pub fn backend<B: Backend>(self, backend: B) -> Builder<L, B> {
        Builder { layers: self.layers, backend, specs: self.specs, settings: self.settings }
    }
}

impl<L, B> Builder<L, B> {
    /// Checks the order and builds the pipeline.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a wrong stack; the error names the layers. A stack is wrong if a phase or a
    /// rank decreases, if a name is invalid or is used twice, or if there are more than 250 layers. It is also wrong if
    /// a layer requires a capability that the backend does not claim.
    ///
    /// Also `Invalid` outside of a tokio runtime, and on a runtime without a timer. The pipeline keeps the runtime to
    /// complete detached writes.
    #[allow(private_bounds, reason = "the terminal is the one way to a backend and stays private")]
    pub fn build(self) -> Result<Persistence>
    where
        B: Backend,
        L: Layer<Terminal<B>>,
        L::Service: PersistService + Service<PersistRequest, Error = PersistError>,
    {
        let Self { layers, backend, specs, settings } = self;
        let runtime = Handle::try_current().map_err(|_| {
            PersistError::new(ErrorKind::Invalid, "a pipeline has to be built inside a tokio runtime")
                .with_effect(Effect::NotApplied)
        })?;
        // Tokio has no function that checks for a timer; its timers panic on a runtime without one.
        if catch_unwind(|| drop(sleep(Duration::ZERO))).is_err() {
            let detail = "the tokio runtime has no timer: call `enable_time` or `enable_all` on its builder";
            return Err(PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied));
        }
        let name = backend.name().to_owned();
        order::check(&specs, &name)?;
        let capabilities = backend.capabilities();
        order::check_audit(&specs, &name, &capabilities)?;
        let trail = specs.iter().find_map(|spec| spec.sealing.clone()).map(AuditTrail::new);
        let caller_filters = specs.iter().filter_map(|spec| spec.caller_filter.clone()).collect();
        let description = Description::new(&specs, &name, capabilities);
        let sites = specs
            .iter()
            .map(|spec| Site::Layer(spec.name.as_ref().into()))
            .chain([Site::Backend(name.into())])
            .collect();
        let in_flight = InFlight::new(runtime);
        let index = u8::try_from(specs.len()).unwrap_or(u8::MAX);
        let Settings { admission, deadline, clock, fingerprints, auto_key } = settings;
        let terminal = Terminal::new(backend, Arc::clone(&clock), Arc::clone(&in_flight), index);
        let core = Core::new(Parts {
            stack: SharedService::new(layers.layer(terminal.clone())),
            sites,
            admission,
            in_flight,
            fingerprints,
            auto_key,
            caller_filters,
            description,
            clock,
            trail,
            record_rejected_calls: Box::new({
                let terminal = terminal.clone();
                move |records| {
                    let terminal = terminal.clone();
                    Box::pin(async move { terminal.record_rejected_calls(records).await })
                }
            }),
            store_key: Box::new({
                let terminal = terminal.clone();
                move || terminal.fingerprint_key()
            }),
            commit_notifications: Box::new({
                let terminal = terminal.clone();
                move || terminal.commit_notifications()
            }),
            waits_in: Box::new({
                let terminal = terminal.clone();
                move || terminal.waits_in()
            }),
            close: Box::new(move || {
                let terminal = terminal.clone();
                Box::pin(async move { terminal.close().await })
            }),
        });
        Ok(Persistence::new(core, deadline))
    }
}

/// A placeholder for the rest of the stack. A builder method checks its layer against this type, so that the compiler
/// reports an unsuitable layer at the line that adds it.
#[derive(Debug, Clone)]
pub struct Probe(Infallible);

impl Service<PersistRequest> for Probe {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = std::future::Ready<Result<PersistResponse>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<()>> {
        match self.0 {}
    }

    fn call(&mut self, _: PersistRequest) -> Self::Future {
        match self.0 {}
    }
}
