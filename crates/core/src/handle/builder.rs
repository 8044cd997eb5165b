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
    Plugin, PluginLayer, Result, Site,
    context::{Clock, SystemClock},
    operation::FingerprintKey,
    plugin::{MountedPlugins, PluginList},
};

/// Composes a pipeline: layers from the outside in, then a backend, then [`build`](Self::build).
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

/// A builder that has no backend yet.
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
    /// Adds a layer inside the ones before, under the name and phase that it says itself.
    pub fn layer<N>(self, layer: N) -> Builder<Stack<Guard<N>, L>, B>
    where
        N: Described + Layer<Probe, Service: PersistService>,
    {
        let spec = layer.site();
        self.push(spec, layer)
    }

    /// Adds any tower layer inside the ones before, under this name and phase.
    ///
    /// Its errors come out as they are when they are ours, boxed or not; others become
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

    /// Adds a layer if there is one. An absent layer has no site.
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

    /// Adds layers chosen at run time, each as a site of its own.
    pub fn layers(self, list: LayerList) -> Builder<Stack<BoxedLayers, L>, B> {
        let specs: Vec<_> = list.specs().collect();
        let first = self.next_index();
        self.stack(list.at(first), specs)
    }

    /// Adds a plugin, in the phase that it says itself.
    pub fn plugin<P: Plugin>(self, plugin: P) -> Builder<Stack<Guard<PluginLayer<P>>, L>, B> {
        self.layer(PluginLayer::new(plugin))
    }

    /// Adds plugins chosen at run time as one layer, each as a site of its own. Cheaper than a layer each from
    /// three plugins on.
    pub fn plugins(self, list: PluginList) -> Builder<Stack<MountedPlugins, L>, B> {
        let specs: Vec<_> = list.specs().collect();
        let first = self.next_index();
        self.stack(list.at(first), specs)
    }

    /// Sets how many calls are let in at once, and how many may wait.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = admission;
        self
    }

    /// Sets how long a caller waits for any call, where neither handle nor call says otherwise. Without it a caller
    /// waits as long as it takes.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Takes timestamps from this clock instead of the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Keys the fingerprints of idempotent calls with a secret of the host, so that who reads the store cannot test
    /// guesses at content. It has to stay the same as long as keys are to be recognized: with another secret every
    /// replay is a conflict. It is kept nowhere. Without it they are keyed with the random key that the store made for itself,
    /// which a copy of all of the store's files may hold.
    pub fn fingerprint_secret(mut self, secret: &[u8]) -> Self {
        self.settings.fingerprints = Some(FingerprintKey::derive(secret));
        self
    }

    /// Asks `derive` for the idempotency key of each write that is given none and may have one; it stays without one where
    /// the answer is nothing. A key that the call is given stands.
    ///
    /// Derive it from what names this one write, such as the id of the event that it comes from. A key that two different
    /// writes of a thread get is refused as a conflict, and two equal writes of one key are one. It is asked before any layer,
    /// as what a key stands for is taken down over what the caller sent. A panic of it fails the call with nothing applied.
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
    /// // An addition under an id that the host has named is one event, from whichever part of the host it comes.
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
        // More layers than fit are refused by `build`, before an index is used.
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
    /// Sets where the pipeline ends. Takes the backend for good: nothing else can reach it.
    pub fn backend<B: Backend>(self, backend: B) -> Builder<L, B> {
        Builder { layers: self.layers, backend, specs: self.specs, settings: self.settings }
    }
}

impl<L, B> Builder<L, B> {
    /// Checks the order and builds the pipeline.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), naming the layers, when a phase or a rank goes backwards, a name is used twice
    /// or is not usable, there are more than 250 layers, or one of them needs what the backend does not claim; and when it is called outside a tokio runtime, which it
    /// captures to see detached writes through, or on one without a timer.
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
        // Tokio has no question for this; its timers panic where the runtime has none.
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
            note: Box::new({
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

/// A service that stands for "the rest of the stack" where a layer is checked before there is one: a layer that makes
/// something unfit of it is reported on its own line.
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
