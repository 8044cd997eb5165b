//! The one line that sums a backend up.

use std::fmt::Write as _;

use super::{Column, Outcome, Report};
use crate::Level;

impl Report {
    /// What a backend reached, as `CORE 41/41 · EXTENDED 12/14 (2 n/a) · DURABILITY volatile · LEVEL core`.
    ///
    /// A backend has the level `core` when every core check passed, and `full` when every other check passed as well. It
    /// has none when a core check failed, did not apply, or was not run: what was skipped was not shown.
    #[must_use]
    pub fn level_line(&self, backend: &str) -> String {
        let mut line = String::new();
        for level in [Level::Core, Level::Extended] {
            let total = crate::checks::all().iter().filter(|check| check.level == level).count();
            let passed = self.count(backend, level, Outcome::Pass);
            let gated = self.count(backend, level, Outcome::NotApplicable);
            let failed = self.count(backend, level, Outcome::Fail);
            let expected = self.count(backend, level, Outcome::ExpectedFail);
            let missing = total.saturating_sub(passed + gated + failed + expected);
            let _ = write!(line, "{} {passed}/{total}", level.as_str().to_uppercase());
            let rest: Vec<_> = [(gated, "n/a"), (failed, "FAIL"), (expected, "xfail"), (missing, "not run")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            if !rest.is_empty() {
                let _ = write!(line, " ({})", rest.join(", "));
            }
            line.push_str(" · ");
        }
        let durability = self.columns.iter().find(|column| column.backend == backend);
        let durability = durability
            .map_or_else(|| "unknown".to_owned(), |Column { durability, .. }| durability.to_string());
        let all = |level| {
            let total = crate::checks::all().iter().filter(|check| check.level == level).count();
            self.count(backend, level, Outcome::Pass) == total
        };
        let reached = match (all(Level::Core), all(Level::Extended)) {
            (false, _) => "none",
            (true, false) => "core",
            (true, true) => "full",
        };
        let _ = write!(line, "DURABILITY {durability} · LEVEL {reached}");
        line
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Capabilities, Durability};

    use super::*;
    use crate::{Profile, report::Entry};

    fn report(outcome: impl Fn(&crate::Check) -> Option<Outcome>) -> Report {
        let column = Column::of(&Profile::new("b"), &Capabilities::full(Durability::Volatile));
        let entries = crate::checks::all()
            .iter()
            .filter_map(|check| Some(Entry::of("b", check, outcome(check)?, None)));
        Report { entries: entries.collect(), columns: vec![column] }
    }

    #[test]
    fn a_skipped_core_check_leaves_no_level() {
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
}
