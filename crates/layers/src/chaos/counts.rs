//! Counts the fired faults of each rule, and numbers the calls of each key.

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

/// The rules of a layer and their counts; the clones of a layer share it.
pub(super) struct Plan {
    seed: u64,
    rules: Vec<(Rule, AtomicU64)>,
    /// The number of calls of each key.
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

    /// Returns the first rule that fires for this call.
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

/// The number of times that each rule of a [`ChaosLayer`](super::ChaosLayer) has fired.
#[derive(Clone)]
pub struct ChaosCounts(pub(super) Arc<Plan>);

impl ChaosCounts {
    /// Returns the number of times that this rule has fired.
    ///
    /// # Panics
    /// Panics if the layer has no such rule, because a test with a misspelled name would always pass.
    #[must_use]
    pub fn fired(&self, name: &str) -> u64 {
        let found = self.0.rules.iter().find(|(rule, _)| rule.name == name);
        let Some((_, fired)) = found else { panic!("the chaos layer has no rule `{name}`") };
        fired.load(Relaxed)
    }

    /// Returns the names of the rules that have never fired, in the order in which they were added.
    #[must_use]
    pub fn never_fired(&self) -> Vec<String> {
        let never = self.0.rules.iter().filter(|(_, fired)| fired.load(Relaxed) == 0);
        never.map(|(rule, _)| rule.name.clone().into_owned()).collect()
    }

    /// Returns the number of times that any rule has fired.
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
