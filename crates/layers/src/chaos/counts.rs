//! How often each rule has fired, and which call is the next of its key.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{Rule, rule::CallsOf};
use throughline_core::PersistRequest;

/// The rules of a layer and what became of them; shared by its clones.
pub(super) struct Plan {
    seed: u64,
    rules: Vec<(Rule, AtomicU64)>,
    /// How many calls of each key there were.
    seen: Mutex<HashMap<CallsOf, u64>>,
}

impl Plan {
    pub(super) fn new(seed: u64, rules: impl IntoIterator<Item = Rule>) -> Self {
        let rules = rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect();
        Self { seed, rules, seen: Mutex::default() }
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// What is to be done to this call: the first rule that fires.
    pub(super) fn decide(&self, request: &PersistRequest) -> Option<&Rule> {
        let context = &request.context;
        let calls = CallsOf {
            tenant: context.tenant().clone(),
            thread: context.thread().cloned(),
            kind: context.kind(),
        };
        let number = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = seen.entry(calls.clone()).or_default();
            *seen += 1;
            *seen
        };
        let mut about = self.rules.iter().filter(|(rule, _)| rule.is_about(&calls));
        let (rule, fired) = about.find(|(rule, _)| rule.fires(self.seed, &calls, number))?;
        fired.fetch_add(1, Relaxed);
        Some(rule)
    }
}

/// How often each rule of a [`ChaosLayer`](super::ChaosLayer) has fired so far.
#[derive(Clone)]
pub struct ChaosCounts(pub(super) Arc<Plan>);

impl ChaosCounts {
    /// How often the rule of this name has fired.
    ///
    /// # Panics
    /// When the layer has no such rule: a test that asks for it would otherwise pass for ever.
    #[must_use]
    pub fn fired(&self, name: &str) -> u64 {
        let found = self.0.rules.iter().find(|(rule, _)| rule.name == name);
        let Some((_, fired)) = found else { panic!("the chaos layer has no rule `{name}`") };
        fired.load(Relaxed)
    }

    /// The names of the rules that have not fired, in the order in which they were added.
    #[must_use]
    pub fn never_fired(&self) -> Vec<String> {
        let never = self.0.rules.iter().filter(|(_, fired)| fired.load(Relaxed) == 0);
        never.map(|(rule, _)| rule.name.clone().into_owned()).collect()
    }

    /// How often any rule has fired.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.rules.iter().map(|(_, fired)| fired.load(Relaxed)).sum()
    }
}

impl fmt::Debug for ChaosCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.rules.iter().map(|(rule, fired)| (&rule.name, fired.load(Relaxed))))
            .finish()
    }
}
