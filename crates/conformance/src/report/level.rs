//! The first line of the report: the result of a backend.

use std::fmt::Write as _;

use throughline_core::Durability;

use super::{Column, Outcome, Report};
use crate::Level;

impl Report {
    /// The first line of the report: `Conformance: passed`, or the number of failed checks and the refuted claims.
    #[must_use]
    pub fn headline(&self) -> String {
        let failed = self.entries.iter().filter(|entry| entry.outcome == Outcome::Fail).count();
        let broken: Vec<_> = self
            .columns
            .iter()
            .filter_map(|column| {
                let broken = self.broken_durability(column);
                Some((column, *broken.first()?, broken.len()))
            })
            .collect();
        let mut headline = match failed {
            0 if broken.is_empty() => "Conformance: passed".to_owned(),
            0 => "Conformance: FAILED".to_owned(),
            1 => "Conformance: FAILED, 1 check".to_owned(),
            many => format!("Conformance: FAILED, {many} checks"),
        };
        for (column, first, count) in broken {
            let (backend, claimed) = (&column.backend, column.durability);
            let _ =
                write!(headline, "; the durability that `{backend}` claims is not kept: {claimed} ({first}");
            if count > 1 {
                let _ = write!(headline, " and {} more", count - 1);
            }
            headline.push(')');
        }
        headline
    }

    /// The durability checks that a backend fails although it claims durability. An expected failure counts: the claim
    /// is false even if the failure is known.
    pub(super) fn broken_durability(&self, column: &Column) -> Vec<&'static str> {
        if column.durability < Durability::Process {
            return Vec::new();
        }
        let fails = |id: &str| {
            let outcome = self.entry(id, &column.backend).map(|entry| entry.outcome);
            matches!(outcome, Some(Outcome::Fail | Outcome::ExpectedFail))
        };
        let of_durability = crate::checks::all().iter().filter(|check| check.needs.is_of_durability());
        of_durability.map(|check| check.id).filter(|id| fails(id)).collect()
    }

    /// The result of a backend, as `CORE 41/41 · EXTENDED 12/14 (2 n/a) · DURABILITY volatile · LEVEL core`.
    ///
    /// A backend has the level `core` if every core check passed, and `full` if every other check also passed. It
    /// has none if a core check failed, did not apply, or was not run: a skipped check proves nothing. It has none either
    /// if it claims a durability that a check refutes.
    #[must_use]
    pub fn level_line(&self, backend: &str) -> String {
        let mut line = String::new();
        for level in [Level::Core, Level::Extended] {
            let total = crate::checks::all().iter().filter(|check| check.level == level).count();
            let passed = self.count(backend, level, Outcome::Pass);
            let pausable = self.count(backend, level, Outcome::NotApplicable);
            let failed = self.count(backend, level, Outcome::Fail);
            let expected = self.count(backend, level, Outcome::ExpectedFail);
            let missing = total.saturating_sub(passed + pausable + failed + expected);
            let _ = write!(line, "{} {passed}/{total}", level.as_str().to_uppercase());
            let rest: Vec<_> =
                [(pausable, "n/a"), (failed, "FAIL"), (expected, "xfail"), (missing, "not run")]
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, case)| format!("{count} {case}"))
                    .collect();
            if !rest.is_empty() {
                let _ = write!(line, " ({})", rest.join(", "));
            }
            line.push_str(" · ");
        }
        let column = self.columns.iter().find(|column| column.backend == backend);
        let is_kept = column.is_none_or(|column| self.broken_durability(column).is_empty());
        let durability =
            column.map_or_else(|| "unknown".to_owned(), |Column { durability, .. }| durability.to_string());
        let kept = if is_kept { "" } else { " NOT KEPT" };
        let _ = write!(line, "DURABILITY {durability}{kept} · LEVEL {}", self.level(backend));
        line
    }

    /// The level of a backend, as [`level_line`](Self::level_line) defines it: `none`, `core` or `full`.
    pub(super) fn level(&self, backend: &str) -> &'static str {
        let column = self.columns.iter().find(|column| column.backend == backend);
        let is_kept = column.is_none_or(|column| self.broken_durability(column).is_empty());
        let all = |level| {
            let total = crate::checks::all().iter().filter(|check| check.level == level).count();
            self.count(backend, level, Outcome::Pass) == total
        };
        match (is_kept && all(Level::Core), all(Level::Extended)) {
            (false, _) => "none",
            (true, false) => "core",
            (true, true) => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Capabilities, Durability};

    use super::*;
    use crate::{Profile, report::Entry};

    fn report(outcome: impl Fn(&crate::Check) -> Option<Outcome>) -> Report {
        claiming(Durability::Volatile, outcome)
    }

    fn claiming(durability: Durability, outcome: impl Fn(&crate::Check) -> Option<Outcome>) -> Report {
        let column = Column::of(&Profile::new("b"), &Capabilities::full(durability));
        let entries = crate::checks::all()
            .iter()
            .filter_map(|check| Some(Entry::of("b", check, outcome(check)?, None)));
        Report { entries: entries.collect(), columns: vec![column] }
    }

    #[test]
    fn skipped_core_check_prevents_a_level() {
        let full = report(|_| Some(Outcome::Pass)).level_line("b");
        assert!(full.ends_with("DURABILITY volatile · LEVEL full"), "{full}");
        for outcome in [None, Some(Outcome::NotApplicable), Some(Outcome::ExpectedFail), Some(Outcome::Fail)]
        {
            let first = crate::checks::all().iter().find(|check| check.level == Level::Core).unwrap().id;
            let line = report(|check| if check.id == first { outcome } else { Some(Outcome::Pass) });
            assert!(line.level_line("b").ends_with("LEVEL none"), "{outcome:?}");
        }
        let core = report(|check| {
            Some(if check.level == Level::Core { Outcome::Pass } else { Outcome::NotApplicable })
        });
        assert!(core.level_line("b").ends_with("LEVEL core"));
    }

    #[test]
    fn refuted_durability_fails_the_headline() {
        for outcome in [Outcome::Fail, Outcome::ExpectedFail] {
            let only = "durability.acknowledged_writes_survive_a_crash";
            let is_of_durability =
                crate::checks::all().iter().any(|check| check.id == only && check.needs.is_of_durability());
            assert!(is_of_durability);
            let broken = |check: &crate::Check| {
                Some(match check.level {
                    _ if check.id == only => outcome,
                    Level::Core => Outcome::Pass,
                    Level::Extended => Outcome::NotApplicable,
                })
            };
            let report = claiming(Durability::Process, broken);
            let headline = report.headline();
            let why = "; the durability that `b` claims is not kept: survives the process (durability.acknowledged_writes_survive_a_crash)";
            assert!(headline.ends_with(why), "{headline}");
            assert!(headline.starts_with("Conformance: FAILED"), "{headline}");
            assert_eq!(report.to_markdown().lines().next(), Some(&*format!("# {headline}")));
            let line = report.level_line("b");
            assert!(line.ends_with("DURABILITY survives the process NOT KEPT · LEVEL none"), "{line}");
            // A store that claims no durability cannot break it.
            assert!(
                claiming(Durability::Volatile, broken).level_line("b").ends_with("volatile · LEVEL core")
            );
        }
    }

    #[test]
    fn headline_names_failed_checks() {
        let first = crate::checks::all()[0].id;
        let failed =
            |check: &crate::Check| Some(if check.id == first { Outcome::Fail } else { Outcome::Pass });
        assert_eq!(report(failed).headline(), "Conformance: FAILED, 1 check");
        assert_eq!(report(|_| Some(Outcome::Pass)).headline(), "Conformance: passed");
    }
}
