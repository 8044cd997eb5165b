use std::borrow::Cow;

use super::Fault;
use throughline_core::{OpKind, TenantId, ThreadId};

/// A rule of a [`ChaosLayer`](super::ChaosLayer): a name for its count, a fault, and the calls to which it applies.
///
/// By default it fires at every call.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) name: Cow<'static, str>,
    pub(super) fault: Fault,
    kinds: Vec<OpKind>,
    prefixes: Vec<Box<str>>,
    pub(super) when: When,
}

/// The calls at which a rule fires.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum When {
    Always,
    /// The calls with these numbers, from 1.
    Nth(Vec<u64>),
    Probability(f64),
}

/// The key of the numbering: calls of one key are numbered in arrival order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallsOf {
    pub(super) tenant: TenantId,
    /// None for a call without a single thread.
    pub(super) thread: Option<ThreadId>,
    pub(super) kind: OpKind,
}

impl Rule {
    /// Creates a rule that fires at every call. Its name must be unique in the layer.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, fault: Fault) -> Self {
        Self { name: name.into(), fault, kinds: Vec::new(), prefixes: Vec::new(), when: When::Always }
    }

    /// Restricts the rule to calls of this kind; further calls add kinds. A batch is a kind of its own.
    #[must_use]
    pub fn on(mut self, kind: OpKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Restricts the rule to threads whose id has this prefix; further calls add prefixes. The rule then skips calls
    /// without a single thread.
    #[must_use]
    pub fn in_threads(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Fires at the `n`-th call of a kind in a thread, from 1; further calls add numbers. Replaces a probability.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        match &mut self.when {
            When::Nth(numbers) => numbers.push(n),
            When::Always | When::Probability(_) => self.when = When::Nth(vec![n]),
        }
        self
    }

    /// Fires at each call with this probability, 0 to 1. Replaces numbers of calls.
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.when = When::Probability(probability);
        self
    }

    /// Returns true if the rule applies to these calls.
    pub(super) fn is_about(&self, calls: &CallsOf) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&calls.kind);
        let begins =
            |thread: &ThreadId| self.prefixes.iter().any(|prefix| thread.as_str().starts_with(&**prefix));
        kind && (self.prefixes.is_empty() || calls.thread.as_ref().is_some_and(begins))
    }

    /// Returns true if the rule fires at the `number`-th of these calls, from 1. The result depends on the arguments
    /// only.
    pub(super) fn fires(&self, seed: u64, calls: &CallsOf, number: u64) -> bool {
        match &self.when {
            When::Always => true,
            When::Nth(numbers) => numbers.contains(&number),
            When::Probability(probability) => draw(seed, &self.name, calls, number) < *probability,
        }
    }
}

/// Returns an evenly distributed number in 0..1 for each call.
fn draw(seed: u64, rule: &str, calls: &CallsOf, number: u64) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    // Each text is preceded by its length, so that no two calls have the same bytes.
    let thread = calls.thread.as_ref().map_or("", ThreadId::as_str);
    for text in [rule, calls.tenant.as_str(), thread, calls.kind.as_str()] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.update(&number.to_le_bytes());
    let mut drawn = [0; 4];
    drawn.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    f64::from(u32::from_le_bytes(drawn)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::ErrorKind;

    fn calls(thread: Option<&str>, kind: OpKind) -> CallsOf {
        CallsOf { tenant: TenantId::default(), thread: thread.map(|thread| thread.parse().unwrap()), kind }
    }

    fn rule() -> Rule {
        Rule::new("r", Fault::before(ErrorKind::Busy))
    }

    #[test]
    fn a_rule_applies_to_its_kinds_and_its_threads() {
        let rule = rule().on(OpKind::Add).on(OpKind::Batch).in_threads("a").in_threads("b");
        assert!(
            rule.is_about(&calls(Some("a1"), OpKind::Add)) && rule.is_about(&calls(Some("b"), OpKind::Batch))
        );
        assert!(
            !rule.is_about(&calls(Some("c"), OpKind::Add)) && !rule.is_about(&calls(Some("a"), OpKind::Read))
        );
        assert!(!rule.is_about(&calls(None, OpKind::Batch)));
    }

    #[test]
    fn a_probability_is_met_and_differs_by_seed_rule_and_calls() {
        let rule = rule().with_probability(0.25);
        let fired = |rule: &Rule, seed: u64, calls: &CallsOf| {
            (1..=4_000).map(|number| rule.fires(seed, calls, number)).collect::<Vec<_>>()
        };
        let add = calls(Some("t"), OpKind::Add);
        let first = fired(&rule, 1, &add);
        let share = first.iter().filter(|fired| **fired).count() as f64 / 4_000.0;
        assert!((share - 0.25).abs() < 0.03, "{share}");
        assert_eq!(first, fired(&rule, 1, &add));
        assert_ne!(first, fired(&rule, 2, &add));
        assert_ne!(first, fired(&rule, 1, &calls(Some("u"), OpKind::Add)));
        let other = Rule { name: "s".into(), ..rule.clone() };
        assert_ne!(first, fired(&other, 1, &add));
        let (never, always) = (rule.clone().with_probability(0.0), rule.with_probability(1.0));
        assert!(!fired(&never, 1, &add).contains(&true) && !fired(&always, 1, &add).contains(&false));
    }

    #[test]
    fn drawn_numbers_are_the_same_in_every_build() {
        let drawn = draw(42, "busy", &calls(Some("t"), OpKind::Add), 7);
        assert_eq!(format!("{drawn:.6}"), "0.468161");
    }
}
