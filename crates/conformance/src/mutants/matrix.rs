//! The matrix of checks and mutants.

use std::{collections::BTreeSet, env, fmt::Write as _, sync::Arc};

use super::{SEED, layer, store};
use crate::{checks, erased::Subject, laws, runner};

/// A mutant, and the checks that have caught it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Killed {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) by: &'static [&'static str],
}

/// Mutant × the checks that are named for it, as Markdown.
pub(super) fn table(killed: &[Killed]) -> String {
    let checks: BTreeSet<&str> = killed.iter().flat_map(|mutant| mutant.by.iter().copied()).collect();
    let mut text = format!(
        "# Mutants\n\n{} mutants, caught by {} checks and laws.\n\n| mutant | defect | caught by |\n|---|---|---|\n",
        killed.len(),
        checks.len()
    );
    let mut killed = killed.to_vec();
    killed.sort_by_key(|mutant| mutant.name);
    for Killed { name, about, by } in killed {
        let by: Vec<String> = by.iter().map(|id| format!("`{id}`")).collect();
        let _ = writeln!(text, "| {name} | {about} | {} |", by.join(", "));
    }
    text.push_str("\n| only the core can break | because |\n|---|---|\n");
    for (id, why) in core_alone() {
        let _ = writeln!(text, "| `{id}` | {why} |");
    }
    text
}

/// The checks and laws that no broken backend and no broken layer can be caught by, and why.
pub(super) fn core_alone() -> impl Iterator<Item = (&'static str, &'static str)> {
    let checks = checks().iter().map(|check| (check.id, check.core_alone));
    checks.chain(laws::all().map(|law| (law.id, law.core_alone))).filter_map(|(id, why)| Some((id, why?)))
}

/// Whether every check is to be run against every mutant, which takes a quarter of an hour.
pub(super) fn is_wanted_in_full() -> bool {
    env::var_os("THROUGHLINE_CONFORMANCE_MATRIX").is_some_and(|wanted| wanted == "full")
}

/// A table of each check with every mutant that it catches, as Markdown. A check that catches none is listed without a mutant, and must
/// state why only the core can break it.
pub(super) fn in_full() -> String {
    let mut text = "# Checks\n\n| check | catches |\n|---|---|\n".to_owned();
    for check in checks() {
        let caught = store::all().into_iter().filter(|mutant| {
            let subject: Arc<dyn Subject> = Arc::new(store::Mutated::new(mutant));
            let claims = mutant.claims();
            check.why_not_applicable(&claims).is_none()
                && runner::run(&subject, check, &claims, SEED, runner::HANGS_AFTER_IN_MEMORY).is_err()
        });
        let _ = writeln!(text, "| `{}` | {} |", check.id, names(caught.map(|mutant| mutant.name)));
    }
    for law in laws::all() {
        let caught = layer::all().into_iter().filter(|mutant| {
            let subject = mutant.subject();
            law.why_not_applicable(&subject.profile()).is_none() && laws::run_law(&subject, law).is_err()
        });
        let _ = writeln!(text, "| `{}` | {} |", law.id, names(caught.map(|mutant| mutant.name)));
    }
    text
}

fn names(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
