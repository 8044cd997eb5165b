use std::{fmt, future::Future, pin::Pin};

use super::{LayerProfile, bench::Bench, rules};

/// One law. Its id is stable.
#[derive(Clone, Copy)]
pub struct Law {
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) applies: Applies,
    /// The reason why only the core can break the law, if no layer can.
    pub(crate) core_alone: Option<&'static str>,
    pub(crate) run: fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>,
}

/// The layers to which a law applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    All,
    Transparent,
    Transforms,
    Restores,
    Repeats,
    Refuses,
    /// Transforms whose output the store can search.
    Searched,
}

impl Law {
    /// The stable id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The rule, in one sentence.
    #[must_use]
    pub const fn about(&self) -> &'static str {
        self.about
    }

    /// The reason why the law does not apply to a layer with this profile, or `None` if it applies.
    pub(crate) fn why_not_applicable(&self, profile: &LayerProfile) -> Option<&'static str> {
        let (applies, why) = match self.applies {
            Applies::All => (true, ""),
            Applies::Transparent => (profile.hides.is_empty(), "it changes content"),
            Applies::Transforms => (!profile.hides.is_empty(), "it changes no content"),
            Applies::Searched if profile.hides.is_empty() => (false, "it changes no content"),
            Applies::Searched => (!profile.hides_previews, "the store cannot search its output"),
            Applies::Restores => (profile.restores, "it does not restore content"),
            Applies::Repeats => (profile.repeats, "it repeats no call"),
            Applies::Refuses => (!profile.refuses.is_empty(), "it declares no refused call"),
        };
        (!applies).then_some(why)
    }
}

impl fmt::Debug for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Law").field("id", &self.id).field("applies", &self.applies).finish_non_exhaustive()
    }
}

/// Every law, in the order of the report.
pub(crate) fn all() -> impl Iterator<Item = &'static Law> {
    let topics = [
        rules::passage::LAWS,
        rules::read::LAWS,
        rules::failure::LAWS,
        rules::cancel::LAWS,
        rules::content::LAWS,
        rules::repeat::LAWS,
        rules::stream::LAWS,
        rules::search::LAWS,
    ];
    topics.into_iter().flatten()
}

/// Returns the laws that each reject a layer which every other law accepts: those of streamed texts and of searches, and some others.
pub(crate) fn with_a_layer_of_their_own() -> impl Iterator<Item = &'static Law> {
    let others = ["laws.unknown_outcome_is_retried_only_with_a_key", "laws.rest_of_the_content_is_kept"];
    let others = all().filter(move |law| others.contains(&law.id));
    rules::stream::LAWS.iter().chain(rules::search::LAWS).chain(others)
}

/// Defines a table of laws. A row has the layers that the law applies to, the id, the rule and the function. A law that no defective
/// layer can break says `core alone` and the reason.
macro_rules! laws {
    ($($applies:ident $id:literal $about:literal => $run:ident $(, core alone: $why:literal)?;)+) => {
        pub(crate) const LAWS: &[$crate::laws::Law] = &[$(
            $crate::laws::Law {
                id: $id,
                about: $about,
                applies: $crate::laws::law::Applies::$applies,
                core_alone: $crate::check::optional!($($why)?),
                run: |bench| Box::pin($run(bench)),
            }
        ),+];
    };
}
pub(crate) use laws;
