//! The report of one backend, by families of checks.

use std::collections::BTreeMap;

use serde::Serialize;
use throughline::Durability;

use super::file::{Backend, Check, Detail, Ended};
use crate::output::count;

/// A backend, and whether it keeps every claim.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) backend: String,
    keeps_claims: bool,
    pub(super) claims: String,
    pub(super) durability: Durability,
    /// The checks that refute the claimed durability.
    pub(super) refuted: Vec<String>,
    /// `none`, `core` or `full`.
    pub(super) level: String,
    pub(super) remarks: Vec<String>,
    pub(super) total: Family,
    pub(super) families: Vec<Family>,
    pub(super) failures: Vec<Failed>,
    pub(super) expected_failures: Vec<Failed>,
    pub(super) not_claimed: Vec<Reason>,
}

/// The checks whose ids begin with the same word.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Family {
    pub(super) family: String,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) expected_to_fail: u64,
    pub(super) not_claimed: u64,
    pub(super) not_run: u64,
}

/// A failed check.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    pub(super) check: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scenario: Option<String>,
    pub(super) rule: String,
    #[serde(flatten)]
    pub(super) detail: Option<Detail>,
}

/// Why checks do not apply, and how many they are.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    pub(super) reason: String,
    pub(super) checks: u64,
}

impl Summary {
    pub(super) fn of(backend: Backend) -> Self {
        let Backend { backend, claims, durability, level, refuted, remarks, checks } = backend;
        let mut total = Family { family: "all".to_owned(), ..Family::default() };
        let mut families: Vec<Family> = Vec::new();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        let (mut failures, mut expected_failures) = (Vec::new(), Vec::new());
        for check in checks {
            let name = check.check.split('.').next().unwrap_or_default();
            let at = families.iter().position(|family| family.family == name).unwrap_or_else(|| {
                families.push(Family { family: name.to_owned(), ..Family::default() });
                families.len() - 1
            });
            families[at].add(check.outcome);
            total.add(check.outcome);
            match check.outcome {
                Ended::Fail => failures.push(Failed::of(check)),
                Ended::ExpectedFail => expected_failures.push(Failed::of(check)),
                Ended::NotApplicable => {
                    *reasons.entry(check.reason.unwrap_or_else(|| "no reason".to_owned())).or_default() += 1;
                }
                Ended::Pass | Ended::NotRun => {}
            }
        }
        let mut not_claimed: Vec<Reason> =
            reasons.into_iter().map(|(reason, checks)| Reason { reason, checks }).collect();
        not_claimed.sort_by_key(|reason| std::cmp::Reverse(reason.checks));
        Self {
            keeps_claims: failures.is_empty() && refuted.is_empty(),
            backend,
            claims,
            durability,
            refuted,
            level,
            remarks,
            total,
            families,
            failures,
            expected_failures,
            not_claimed,
        }
    }

    /// Whether no check failed, and none refutes the claimed durability.
    pub(super) const fn keeps_claims(&self) -> bool {
        self.keeps_claims
    }

    /// Whether the backend keeps every claim, in one sentence without its name.
    pub(super) fn verdict(&self) -> String {
        if self.keeps_claims {
            return match self.total.not_run {
                0 => "keeps every claim".to_owned(),
                1 => "keeps every checked claim; 1 check was not run".to_owned(),
                not_run => format!("keeps every checked claim; {not_run} checks were not run"),
            };
        }
        let mut verdict = "does not keep every claim: ".to_owned();
        if self.total.failed > 0 {
            verdict.push_str(&format!("{} failed", count(self.total.failed, "check")));
        }
        if let Some(first) = self.refuted.first() {
            let joint = if self.total.failed > 0 { ", and " } else { "" };
            let more = match self.refuted.len() {
                1 => String::new(),
                many => format!(" and {} more", many - 1),
            };
            verdict.push_str(&format!("{joint}`{first}`{more} refutes that it {}", self.durability));
        }
        verdict
    }

    /// The meaning of the level.
    pub(super) fn level_in_words(&self) -> &str {
        match self.level.as_str() {
            "none" => "none: a core check failed, does not apply, or was not run",
            "core" => "core: every core check passed, but not every other one",
            "full" => "full: every check of the kit passed",
            other => other,
        }
    }

    /// Why checks do not apply; `None` if all do.
    pub(super) fn not_claimed_in_words(&self) -> Option<String> {
        let reasons: Vec<String> =
            self.not_claimed.iter().map(|Reason { reason, checks }| format!("{reason} ({checks})")).collect();
        let verb = if self.total.not_claimed == 1 { "does" } else { "do" };
        let checks = count(self.total.not_claimed, "check");
        (!reasons.is_empty()).then(|| format!("{checks} {verb} not apply: {}.", reasons.join("; ")))
    }
}

impl Family {
    const fn add(&mut self, outcome: Ended) {
        *match outcome {
            Ended::Pass => &mut self.passed,
            Ended::Fail => &mut self.failed,
            Ended::ExpectedFail => &mut self.expected_to_fail,
            Ended::NotApplicable => &mut self.not_claimed,
            Ended::NotRun => &mut self.not_run,
        } += 1;
    }
}

impl Failed {
    fn of(check: Check) -> Self {
        let Check { check, scenario, rule, failure, outcome: _, reason: _ } = check;
        Self { check, scenario, rule, detail: failure }
    }

    /// The id, and the scenario in parentheses if there is one.
    pub(super) fn id(&self) -> String {
        match &self.scenario {
            Some(scenario) => format!("{} ({scenario})", self.check),
            None => self.check.clone(),
        }
    }

    /// The rule and the failure, with their names.
    pub(super) fn facts(&self) -> Vec<(&'static str, &str)> {
        let mut facts = vec![("rule", self.rule.as_str())];
        if let Some(Detail { expected, actual, case, location }) = &self.detail {
            facts.extend([("expected", expected.as_str()), ("actual", actual.as_str())]);
            facts.extend(case.as_deref().map(|case| ("case", case)));
            facts.extend(location.as_deref().map(|location| ("at", location)));
        }
        facts
    }
}
