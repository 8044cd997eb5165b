use throughline_core::{Builder, PersistArgs, Persistence, Result, pipeline::Guard, threads::ThreadArgs};
use throughline_memory::MemoryBackend;
use tower::layer::util::{Identity, Stack};

use super::{probe::Probe, progress::Progress};
use crate::clock::ManualClock;

/// How the kit comes to a layer. Implemented by every pair of a profile and a closure.
pub trait LayerFixture: Send + Sync + 'static {
    /// The profile of the layer, which selects the laws.
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

/// Takes what a layer adds out of a call that it has passed on: see [`LayerProfile::adds`].
pub type Addition = fn(&mut PersistArgs, &PersistArgs);

/// The properties of a layer, as its author declares them: they select the laws that apply to it.
#[derive(Debug, Clone)]
pub struct LayerProfile {
    pub(super) name: String,
    /// The sites that it is described as, from the outside in: one, or those of a stack.
    pub(super) sites: Vec<String>,
    pub(super) hides: Vec<String>,
    /// The text that a reader sees instead of each hidden text, if the author has declared it.
    pub(super) shows: Vec<(String, String)>,
    pub(super) restores: bool,
    pub(super) repeats: bool,
    pub(super) asks: bool,
    pub(super) names_revisions: bool,
    pub(super) hides_previews: bool,
    pub(super) buffers: bool,
    pub(super) limits_content: bool,
    pub(super) keeps_elsewhere: bool,
    /// Each takes what a layer adds out of a call again.
    pub(super) adds: Vec<Addition>,
    /// The calls that a layer refuses, each with the site that refuses it.
    pub(super) refuses: Vec<(String, PersistArgs)>,
    pub(super) expected: Vec<(String, String)>,
}

impl LayerProfile {
    fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            sites: vec![name.clone()],
            name,
            hides: Vec::new(),
            shows: Vec::new(),
            restores: false,
            repeats: false,
            asks: false,
            names_revisions: false,
            hides_previews: false,
            buffers: false,
            limits_content: false,
            keeps_elsewhere: false,
            adds: Vec::new(),
            refuses: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// A layer that changes nothing: a guard, an observer, a retry. `name` is the site it is described as.
    #[must_use]
    pub fn transparent(name: impl Into<String>) -> Self {
        Self::new(name)
    }

    /// A layer that changes content so that this text never passes it: a redaction, an encryption, an alias.
    ///
    /// The laws write the text in parts, split at every character. A reader sees the same text as after one write of the whole;
    /// [`shows`](Self::shows) declares that text, and [`restores`](Self::restores) declares that it is the original.
    /// Everything around it has to be stored as it was given.
    #[must_use]
    pub fn transform(name: impl Into<String>, hides: impl Into<String>) -> Self {
        Self { hides: vec![hides.into()], ..Self::new(name) }
    }

    /// Declares the text that a reader sees instead of the hidden text, such as the marker of a redaction.
    ///
    /// # Panics
    /// When the layer hides nothing.
    #[must_use]
    pub fn shows(mut self, shown: impl Into<String>) -> Self {
        let hidden = self.hides.last().expect("a transform hides a text").clone();
        self.shows.push((hidden, shown.into()));
        self
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

    /// Says that it names the revision that a change of content is made on, where the caller has named none.
    #[must_use]
    pub fn names_revisions(mut self) -> Self {
        self.names_revisions = true;
        self
    }

    /// Says that the store cannot make a preview of what it is given, and that lists of threads show none.
    #[must_use]
    pub fn hides_previews(mut self) -> Self {
        self.hides_previews = true;
        self
    }

    /// Says that it holds the end of a text back that goes on, and gives it on with what comes next: it may then replace what is
    /// stored where it was asked to append. In all else what it passes on is the same call.
    #[must_use]
    pub fn buffers(mut self) -> Self {
        self.buffers = true;
        self.asks = true;
        self
    }

    /// Says that it sets or lowers [`UpdateContent::max_content_bytes`](throughline_core::messages::UpdateContent::max_content_bytes) of appends,
    /// [`Update::max_metadata_bytes`](throughline_core::messages::Update::max_metadata_bytes) of patches of messages and threads, and
    /// [`Batch::max_answer_bytes`](throughline_core::messages::Batch::max_answer_bytes). In all else what it passes on is the same call.
    #[must_use]
    pub fn limits_content(mut self) -> Self {
        self.limits_content = true;
        self
    }

    /// Declares that the layer adds facts to calls. `take_out` receives the forwarded call and the original call, each item of a batch on
    /// its own, and removes the addition of the layer. The rest must equal the original call.
    ///
    /// ```
    /// use throughline_conformance::laws::LayerProfile;
    /// use throughline_core::PersistArgs;
    ///
    /// let profile = LayerProfile::transparent("attach").adds(|passed, _| {
    ///     if let PersistArgs::Add(add) = passed {
    ///         add.attachments.retain(|key| key.as_str() != "added-by-attach");
    ///     }
    /// });
    /// assert_eq!(profile.name(), "attach");
    /// ```
    #[must_use]
    pub fn adds(mut self, take_out: Addition) -> Self {
        self.adds.push(take_out);
        self
    }

    /// Says that it adds labels to threads that are created. Those that the caller has set have to be there still.
    #[must_use]
    pub fn adds_labels(self) -> Self {
        self.adds(|passed, asked| {
            if let (
                PersistArgs::Thread(ThreadArgs::Create(passed)),
                PersistArgs::Thread(ThreadArgs::Create(asked)),
            ) = (passed, asked)
                && passed.labels.contains(&asked.labels)
            {
                passed.labels = asked.labels.clone();
            }
        })
    }

    /// Says that it keeps some threads or messages elsewhere: it may refuse what would need both sides, and answers what is read of
    /// the whole tenant from both.
    #[must_use]
    pub fn keeps_elsewhere(mut self) -> Self {
        self.keeps_elsewhere = true;
        self
    }

    /// Names an operation that the layer refuses by itself; called again, another one.
    #[must_use]
    pub fn refuses(mut self, args: impl Into<PersistArgs>) -> Self {
        self.refuses.push((self.name.clone(), args.into()));
        self
    }

    /// Says that a law is not kept, and why. It then must not be kept, so that the list cannot outlive its reasons.
    #[must_use]
    pub fn expect_fail(mut self, law: impl Into<String>, why: impl Into<String>) -> Self {
        self.expected.push((law.into(), why.into()));
        self
    }

    /// Why this law is expected to be broken, where it is.
    pub(super) fn expected(&self, law: &str) -> Option<&str> {
        self.expected.iter().find(|(id, _)| id == law).map(|(_, why)| why.as_str())
    }

    /// That of a stack of these, from the outside in: what any of them does, the stack does.
    pub(super) fn together(profiles: Vec<Self>) -> Self {
        let names: Vec<&str> = profiles.iter().map(Self::name).collect();
        let mut all = Self { sites: Vec::new(), ..Self::new(names.join("+")) };
        let mut transforms = profiles.iter().filter(|profile| !profile.hides.is_empty()).peekable();
        all.restores = transforms.peek().is_some() && transforms.all(|profile| profile.restores);
        for profile in profiles {
            all.sites.extend(profile.sites);
            all.hides.extend(profile.hides);
            all.shows.extend(profile.shows);
            all.repeats |= profile.repeats;
            all.asks |= profile.asks;
            all.names_revisions |= profile.names_revisions;
            all.hides_previews |= profile.hides_previews;
            all.buffers |= profile.buffers;
            all.limits_content |= profile.limits_content;
            all.keeps_elsewhere |= profile.keeps_elsewhere;
            all.adds.extend(profile.adds);
            all.refuses.extend(profile.refuses);
            all.expected.extend(profile.expected);
        }
        all
    }

    /// The same under another name.
    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The name of its site; of a stack, those of all joined by `+`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The stack around the layer that the laws check.
#[derive(Debug, Clone)]
pub struct Around {
    pub(super) outer: Probe,
    pub(super) inner: Probe,
    pub(super) clock: ManualClock,
}

impl Around {
    pub(super) fn new(clock: ManualClock, progress: &Progress) -> Self {
        let (outer, inner) = (Probe::outside(progress.clone()), Probe::inside(progress.clone()));
        Self { outer, inner, clock }
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
