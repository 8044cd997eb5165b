use throughline_core::{Builder, PersistArgs, Persistence, Result, pipeline::Guard, threads::ThreadArgs};
use throughline_memory::MemoryBackend;
use tower::layer::util::{Identity, Stack};

use super::{probe::Probe, progress::Progress};
use crate::clock::ManualClock;

/// The interface of the kit to a layer. Every pair of a profile and a closure implements it.
pub trait LayerFixture: Send + Sync + 'static {
    /// The profile of the layer, which selects the laws.
    fn profile(&self) -> LayerProfile;

    /// Builds a stack of the probe outside, the layer, the probe inside, and the backend.
    ///
    /// # Errors
    /// The error of the builder; every law then fails.
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

/// Removes the additions of a layer from a forwarded call: see [`LayerProfile::adds`].
pub type Addition = fn(&mut PersistArgs, &PersistArgs);

/// The properties of a layer, as its author declares them: they select the laws that apply to it.
#[derive(Debug, Clone)]
pub struct LayerProfile {
    pub(super) name: String,
    /// The sites of the layer in the description of the pipeline, from the outside in: one, or those of a stack.
    pub(super) sites: Vec<String>,
    pub(super) hides: Vec<String>,
    /// The text that a reader sees instead of each hidden text, if the author has declared it.
    pub(super) shows: Vec<(String, String)>,
    pub(super) restores: bool,
    pub(super) repeats: bool,
    pub(super) issues_reads: bool,
    pub(super) sets_expected_revisions: bool,
    pub(super) hides_previews: bool,
    pub(super) buffers: bool,
    pub(super) limits_content: bool,
    pub(super) redirects: bool,
    /// Each removes one addition of the layer from a forwarded call.
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
            issues_reads: false,
            sets_expected_revisions: false,
            hides_previews: false,
            buffers: false,
            limits_content: false,
            redirects: false,
            adds: Vec::new(),
            refuses: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// A layer that changes no content: a guard, an observer, a retry. `name` is its site in the description of the pipeline.
    #[must_use]
    pub fn transparent(name: impl Into<String>) -> Self {
        Self::new(name)
    }

    /// A layer that changes content so that it never forwards this text: a redaction, an encryption, an alias.
    ///
    /// The laws write the text in parts, split at every character. A reader sees the same text as after one write of the whole;
    /// [`shows`](Self::shows) declares that text, and [`restores`](Self::restores) declares that it is the original.
    /// The layer must not change the rest of the content.
    #[must_use]
    pub fn transform(name: impl Into<String>, hides: impl Into<String>) -> Self {
        Self { hides: vec![hides.into()], ..Self::new(name) }
    }

    /// Declares the text that a reader sees instead of the hidden text, such as the marker of a redaction.
    ///
    /// # Panics
    /// Panics if the layer hides no text.
    #[must_use]
    pub fn shows(mut self, shown: impl Into<String>) -> Self {
        let hidden = self.hides.last().expect("a transform hides a text").clone();
        self.shows.push((hidden, shown.into()));
        self
    }

    /// Declares that a read through the layer returns the original content, as with an encryption.
    #[must_use]
    pub fn restores(mut self) -> Self {
        self.restores = true;
        self
    }

    /// Declares that the layer repeats calls after transient errors.
    #[must_use]
    pub fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Declares that the layer issues reads of its own before it forwards a write.
    #[must_use]
    pub fn issues_reads(mut self) -> Self {
        self.issues_reads = true;
        self
    }

    /// Declares that the layer sets the expected revision of a change of content if the caller has set none.
    #[must_use]
    pub fn sets_expected_revisions(mut self) -> Self {
        self.sets_expected_revisions = true;
        self
    }

    /// Declares that the store cannot derive a preview from the forwarded content, and that lists of threads show none.
    #[must_use]
    pub fn hides_previews(mut self) -> Self {
        self.hides_previews = true;
        self
    }

    /// Declares that the layer buffers the end of an open text and forwards it with the next call. It can then replace the stored
    /// content instead of an append. In all other respects it forwards the same call.
    #[must_use]
    pub fn buffers(mut self) -> Self {
        self.buffers = true;
        self.issues_reads = true;
        self
    }

    /// Declares that the layer sets or lowers [`UpdateContent::max_content_bytes`](throughline_core::messages::UpdateContent::max_content_bytes) of appends,
    /// [`Update::max_metadata_bytes`](throughline_core::messages::Update::max_metadata_bytes) of patches of messages and threads, and
    /// [`Batch::max_answer_bytes`](throughline_core::messages::Batch::max_answer_bytes). In all other respects it forwards the same call.
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

    /// Declares that the layer adds labels to new threads. It must keep the labels of the caller.
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

    /// Declares that the layer keeps some threads or messages in another store. It can refuse a call that needs both stores, and it
    /// answers reads of the whole tenant from both.
    #[must_use]
    pub fn redirects(mut self) -> Self {
        self.redirects = true;
        self
    }

    /// Declares a call that the layer refuses. Each call of this method adds one.
    #[must_use]
    pub fn refuses(mut self, args: impl Into<PersistArgs>) -> Self {
        self.refuses.push((self.name.clone(), args.into()));
        self
    }

    /// Declares that the layer breaks a law, and why. The suite fails if the layer keeps the law, so that the list stays current.
    #[must_use]
    pub fn expect_fail(mut self, law: impl Into<String>, why: impl Into<String>) -> Self {
        self.expected.push((law.into(), why.into()));
        self
    }

    /// The reason why the layer is expected to break this law, if it is.
    pub(super) fn expected(&self, law: &str) -> Option<&str> {
        self.expected.iter().find(|(id, _)| id == law).map(|(_, why)| why.as_str())
    }

    /// The profile of a stack of these layers, from the outside in. It has every property of each layer.
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
            all.issues_reads |= profile.issues_reads;
            all.sets_expected_revisions |= profile.sets_expected_revisions;
            all.hides_previews |= profile.hides_previews;
            all.buffers |= profile.buffers;
            all.limits_content |= profile.limits_content;
            all.redirects |= profile.redirects;
            all.adds.extend(profile.adds);
            all.refuses.extend(profile.refuses);
            all.expected.extend(profile.expected);
        }
        all
    }

    /// The same profile with another name.
    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The name of the site of the layer. For a stack, the names of all sites joined by `+`.
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
