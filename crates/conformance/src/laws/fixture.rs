use throughline_core::{
    PersistArgs, Persistence, Result,
    pipeline::{Builder, Guard},
};
use throughline_memory::MemoryBackend;
use tower::layer::util::{Identity, Stack};

use super::probe::Probe;
use crate::clock::ManualClock;

/// How the kit comes to a layer. Implemented by every pair of a profile and a closure.
pub trait LayerFixture: Send + Sync + 'static {
    /// What kind of layer it is.
    fn profile(&self) -> LayerProfile;

    /// Builds a stack of the probe outside, the layer, the probe inside, and the backend.
    ///
    /// # Errors
    /// What the builder answers; every law then fails.
    fn stack(&self, around: &Around) -> Result<Persistence>;
}

impl<F> LayerFixture for (LayerProfile, F)
where
    F: Fn(&Around) -> Result<Persistence> + Send + Sync + 'static,
{
    fn profile(&self) -> LayerProfile {
        self.0.clone()
    }

    fn stack(&self, around: &Around) -> Result<Persistence> {
        (self.1)(around)
    }
}

/// What a layer says of itself: which laws apply to it.
#[derive(Debug, Clone)]
pub struct LayerProfile {
    pub(super) name: String,
    pub(super) hides: Option<String>,
    pub(super) restores: bool,
    pub(super) repeats: bool,
    pub(super) asks: bool,
    pub(super) refuses: Option<Box<PersistArgs>>,
    pub(super) expected: Vec<(String, String)>,
}

impl LayerProfile {
    fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            name,
            hides: None,
            restores: false,
            repeats: false,
            asks: false,
            refuses: None,
            expected: Vec::new(),
        }
    }

    /// A layer that changes nothing: a guard, an observer, a retry. `name` is the site it is described as.
    #[must_use]
    pub fn transparent(name: impl Into<String>) -> Self {
        Self::new(name)
    }

    /// A layer that changes content so that this text never passes it: a redaction, an encryption.
    #[must_use]
    pub fn transform(name: impl Into<String>, hides: impl Into<String>) -> Self {
        Self { hides: Some(hides.into()), ..Self::new(name) }
    }

    /// Says that what is read through the layer is what was given to it, as with an encryption.
    #[must_use]
    pub fn restores(mut self) -> Self {
        self.restores = true;
        self
    }

    /// Says that it makes calls again that failed and pass with time.
    #[must_use]
    pub fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Says that it reads on the way, to learn what to do with a write.
    #[must_use]
    pub fn reads_on_the_way(mut self) -> Self {
        self.asks = true;
        self
    }

    /// Names an operation that the layer refuses by itself.
    #[must_use]
    pub fn refuses(mut self, args: impl Into<PersistArgs>) -> Self {
        self.refuses = Some(Box::new(args.into()));
        self
    }

    /// Says that a law is not kept, and why. It then must not be kept, so that the list cannot outlive its reasons.
    #[must_use]
    pub fn expect_fail(mut self, law: impl Into<String>, why: impl Into<String>) -> Self {
        self.expected.push((law.into(), why.into()));
        self
    }

    /// The name of its site.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What stands around a layer whose laws are looked at.
#[derive(Debug, Clone)]
pub struct Around {
    pub(super) outer: Probe,
    pub(super) inner: Probe,
    pub(super) clock: ManualClock,
}

impl Around {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self { outer: Probe::outside(), inner: Probe::inside(), clock }
    }

    /// The beginning of the stack, with the probe outside the layer.
    pub fn outside(&self) -> Builder<Stack<Guard<Probe>, Identity>> {
        Persistence::builder().clock(self.clock.clone()).layer(self.outer.clone())
    }

    /// The probe inside the layer.
    #[must_use]
    pub fn inside(&self) -> Probe {
        self.inner.clone()
    }

    /// The end of the stack.
    #[must_use]
    pub fn backend(&self) -> MemoryBackend {
        MemoryBackend::new()
    }
}
