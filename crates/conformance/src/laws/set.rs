//! Layers of one stack: each alone, every pair, and all together.

use std::{fmt, sync::Arc};

use throughline_core::{
    PersistError, PersistRequest, Persistence, Plugin, PluginLayer, Result,
    pipeline::{Described, LayerList, PersistService, SharedService},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{Around, LayerFixture, LayerProfile};

/// Layers by their profiles, in the order of production.
///
/// ```
/// use throughline_conformance::laws::{self, LayerProfile, LayerSet};
/// use throughline_layers::{limits::LimitsLayer, trace::TraceLayer};
///
/// let set = LayerSet::new()
///     .with(LayerProfile::transparent("limits").limits_content(), LimitsLayer::new)
///     .with(LayerProfile::transparent("trace"), TraceLayer::new);
/// // Both alone, and both together; the pair is all of them.
/// assert_eq!(set.every_way().len(), 3);
/// laws::assert_kept(set.alone());
/// ```
#[derive(Clone, Default)]
pub struct LayerSet {
    members: Vec<Member>,
}

/// One layer of a set: its profile, and a function that adds a new instance to a list.
#[derive(Clone)]
struct Member {
    profile: LayerProfile,
    add: Arc<dyn Fn(LayerList) -> LayerList + Send + Sync>,
    /// Derives the handle for the calls of the laws.
    handle: Arc<dyn Fn(Persistence) -> Persistence + Send + Sync>,
}

impl LayerSet {
    /// Creates an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Adds a layer, inside of the earlier ones if phase and rank permit both orders. `make` creates a new instance for each law.
    #[must_use]
    pub fn with<L>(mut self, profile: LayerProfile, make: impl Fn() -> L + Send + Sync + 'static) -> Self
    where
        L: Described + Layer<SharedService> + Send + Sync + 'static,
        L::Service: PersistService,
        <L::Service as Service<PersistRequest>>::Error: Into<PersistError>,
    {
        let (add, handle) = (Arc::new(move |list: LayerList| list.with(make())), Arc::new(|db| db));
        self.members.push(Member { profile, add, handle });
        self
    }

    /// Adds a plugin, as [`with`](Self::with) adds a layer.
    #[must_use]
    pub fn with_plugin<P: Plugin>(
        self,
        profile: LayerProfile,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.with(profile, move || PluginLayer::new(make()))
    }

    /// Sets the handle for the calls of the laws if the last added layer is in the stack: a handle with the credentials that
    /// the layer requires.
    ///
    /// # Panics
    /// Panics if the set has no layer yet.
    #[must_use]
    pub fn called_through(
        mut self,
        handle: impl Fn(Persistence) -> Persistence + Send + Sync + 'static,
    ) -> Self {
        self.members.last_mut().expect("a layer was added before").handle = Arc::new(handle);
        self
    }

    /// Each layer alone.
    #[must_use]
    pub fn alone(&self) -> Vec<Box<dyn LayerFixture>> {
        self.members.iter().map(|member| fixture(&[member])).collect()
    }

    /// Every pair of layers in every order that their phases and ranks permit: both orders, if both are permitted.
    #[must_use]
    pub fn pairs(&self) -> Vec<Box<dyn LayerFixture>> {
        let mut pairs = Vec::new();
        for (at, one) in self.members.iter().enumerate() {
            for other in &self.members[at + 1..] {
                let (before, behind) = ([one, other], [other, one]);
                if names(&before) != names(&behind) {
                    pairs.push(fixture(&behind));
                }
                pairs.push(fixture(&before));
            }
        }
        pairs
    }

    /// All layers in one stack, in the order of production.
    #[must_use]
    pub fn together(&self) -> Box<dyn LayerFixture> {
        let members: Vec<&Member> = self.members.iter().collect();
        let Stack { members, profile } = Stack::of(&members);
        Box::new(Stack { members, profile: profile.named("all together") })
    }

    /// Each layer alone, every pair, and, for more than two, all together.
    #[must_use]
    pub fn every_way(&self) -> Vec<Box<dyn LayerFixture>> {
        let mut fixtures = self.alone();
        fixtures.extend(self.pairs());
        if self.members.len() > 2 {
            fixtures.push(self.together());
        }
        fixtures
    }
}

impl fmt::Debug for LayerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| member.profile.name())).finish()
    }
}

fn list(members: &[Member]) -> LayerList {
    members.iter().fold(LayerList::new(), |list, member| (member.add)(list))
}

/// The order of these layers in a pipeline.
fn names(members: &[&Member]) -> Vec<String> {
    let members: Vec<Member> = members.iter().map(|member| (*member).clone()).collect();
    list(&members).names().map(str::to_owned).collect()
}

fn fixture(members: &[&Member]) -> Box<dyn LayerFixture> {
    Box::new(Stack::of(members))
}

/// Layers between the probes.
struct Stack {
    members: Vec<Member>,
    profile: LayerProfile,
}

impl Stack {
    fn of(members: &[&Member]) -> Self {
        let sites = names(members);
        let mut profiles: Vec<LayerProfile> = members.iter().map(|member| member.profile.clone()).collect();
        // The order is unchanged. `laws.layer_is_described_once` finds a layer whose profile has another name than its site.
        profiles.sort_by_key(|profile| sites.iter().position(|site| site == profile.name()));
        let members = members.iter().map(|member| (*member).clone()).collect();
        Self { members, profile: LayerProfile::together(profiles) }
    }
}

impl LayerFixture for Stack {
    fn profile(&self) -> LayerProfile {
        self.profile.clone()
    }

    fn stack(&self, around: &Around) -> Result<Persistence> {
        let layers = around.outside().layers(list(&self.members));
        let db = layers.layer(around.inside()).backend(around.backend()).build()?;
        Ok(self.members.iter().fold(db, |db, member| (member.handle)(db)))
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{
        Effect, ErrorKind, OpKind, PersistResponse, Phase,
        plugin::{NextRequest, from_fn},
    };
    use throughline_layers::{retry::RetryLayer, timeout::TimeoutLayer};

    use super::*;
    use crate::laws::broken;

    #[derive(Debug)]
    struct Mark<const N: u8>;

    /// Marks the calls that it forwards.
    fn marks<const N: u8>(
        mut request: PersistRequest,
        next: NextRequest,
    ) -> impl Future<Output = Result<PersistResponse>> {
        request.context.extensions_mut().insert(Mark::<N>);
        next.run(request)
    }

    /// Fails on a deletion that has all of these marks.
    async fn stumbles(request: PersistRequest, next: NextRequest, over: &[bool]) -> Result<PersistResponse> {
        if request.kind() == OpKind::Delete && over.iter().all(|marked| *marked) {
            return Err(PersistError::new(ErrorKind::Internal, "marked").with_effect(Effect::NotApplied));
        }
        next.run(request).await
    }

    async fn over_one(request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
        let marked = [request.context.extensions().get::<Mark<1>>().is_some()];
        stumbles(request, next, &marked).await
    }

    async fn over_two(request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
        let extensions = request.context.extensions();
        let marked = [extensions.get::<Mark<1>>().is_some(), extensions.get::<Mark<2>>().is_some()];
        stumbles(request, next, &marked).await
    }

    fn whom(broken: &[String]) -> Vec<&str> {
        let mut whom: Vec<_> = broken
            .iter()
            .map(|reported| reported.split("` breaks").next().unwrap().trim_matches('`'))
            .collect();
        whom.dedup();
        whom
    }

    #[test]
    fn pair_detects_two_layers_that_break_a_law_only_together() {
        let set = LayerSet::new()
            .with(LayerProfile::transparent("marks"), || from_fn("marks", Phase::Guard, marks::<1>))
            .with(LayerProfile::transparent("stumbles"), || from_fn("stumbles", Phase::Observe, over_one));
        assert_eq!(broken(set.alone()), Vec::<String>::new());
        let found = broken(set.pairs());
        assert_eq!(whom(&found), ["marks+stumbles"]);
        assert!(
            found.iter().any(|reported| reported
                .starts_with("`marks+stumbles` breaks `laws.every_operation_visits_the_layer_once`: ")),
            "{found:?}"
        );
    }

    #[test]
    fn full_stack_detects_three_layers_that_break_a_law_only_together() {
        let set = LayerSet::new()
            .with(LayerProfile::transparent("one"), || from_fn("one", Phase::Guard, marks::<1>))
            .with(LayerProfile::transparent("two"), || from_fn("two", Phase::Guard, marks::<2>))
            .with(LayerProfile::transparent("stumbles"), || from_fn("stumbles", Phase::Observe, over_two));
        let found = broken(set.every_way());
        assert_eq!(whom(&found), ["all together"]);
    }

    #[test]
    fn pair_is_built_in_every_allowed_order_and_in_no_other() {
        let names = |set: &LayerSet| {
            set.pairs().iter().map(|pair| pair.profile().name().to_owned()).collect::<Vec<_>>()
        };
        let free = LayerSet::new()
            .with(LayerProfile::transparent("marks-one"), || from_fn("marks-one", Phase::Observe, marks::<1>))
            .with(LayerProfile::transparent("marks-two"), || {
                from_fn("marks-two", Phase::Observe, marks::<2>)
            });
        assert_eq!(names(&free), ["marks-two+marks-one", "marks-one+marks-two"]);
        let ranked = LayerSet::new()
            .with(LayerProfile::transparent("timeout"), || {
                TimeoutLayer::new(std::time::Duration::from_secs(1))
            })
            .with(LayerProfile::transparent("retry"), RetryLayer::new);
        assert_eq!(names(&ranked), ["retry+timeout"]);
    }

    #[test]
    fn profile_with_another_name_than_its_layer_is_detected() {
        let set = LayerSet::new()
            .with(LayerProfile::transparent("profiled"), || from_fn("described", Phase::Observe, marks::<1>));
        assert_eq!(whom(&broken(set.alone())), ["profiled"]);
    }

    #[test]
    #[should_panic(expected = "`stumbles` breaks `laws.every_operation_visits_the_layer_once`")]
    fn broken_law_fails_an_ordinary_test_and_is_named() {
        async fn never(request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
            stumbles(request, next, &[true]).await
        }
        let stumbles = || from_fn("stumbles", Phase::Observe, never);
        crate::laws::assert_kept(
            LayerSet::new().with(LayerProfile::transparent("stumbles"), stumbles).alone(),
        );
    }
}
