//! The report as Markdown.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Column, Outcome, Report, failure};

/// `list` prints every check that does not apply; otherwise the report counts them.
const NOT_CLAIMED: &str = "THROUGHLINE_CONFORMANCE_NOT_CLAIMED";

impl Report {
    /// Returns the report as Markdown: the [headline](Report::headline), the level of each backend, a table of checks and backends, and the
    /// failures in full. One line per backend counts the checks that do not apply to it.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        self.markdown(false)
    }

    /// Returns the same with every check that does not apply: in the table, and in a list with the reasons.
    #[must_use]
    pub fn to_markdown_with_not_claimed(&self) -> String {
        self.markdown(true)
    }

    /// Returns the report in the form that the environment requests.
    pub(crate) fn to_wanted_markdown(&self) -> String {
        self.markdown(std::env::var_os(NOT_CLAIMED).is_some_and(|wanted| wanted == "list"))
    }

    fn markdown(&self, lists_not_claimed: bool) -> String {
        let mut text = format!("# {}\n\n", self.headline());
        for column in &self.columns {
            let _ = writeln!(
                text,
                "- **{}** ({}): {}",
                column.backend,
                column.claims,
                self.level_line(&column.backend)
            );
            for remark in &column.remarks {
                let _ = writeln!(text, "  - {remark}");
            }
            if !lists_not_claimed && let Some(line) = self.not_claimed_line(column) {
                let _ = writeln!(text, "  - {line}");
            }
        }
        let backends: Vec<&str> = self.columns.iter().map(|column| column.backend.as_str()).collect();
        let _ = writeln!(text, "\n| check | level | {} |", backends.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(backends.len()));
        for of_check in self.entries.chunk_by(|a, b| a.check == b.check) {
            let applies = of_check.iter().any(|entry| entry.outcome != Outcome::NotApplicable);
            if !applies && !lists_not_claimed {
                continue;
            }
            let first = &of_check[0];
            let outcomes = backends.iter().map(|backend| {
                self.entry(&first.check, backend).map_or("not run", |entry| entry.outcome.as_str())
            });
            let outcomes = outcomes.collect::<Vec<_>>().join(" | ");
            let _ = writeln!(text, "| `{}` | {} | {outcomes} |", first.printed_id(), first.level);
        }
        self.failures(&mut text, "Failures", Outcome::Fail);
        self.failures(&mut text, "Expected failures", Outcome::ExpectedFail);
        if lists_not_claimed {
            self.not_claimed_list(&mut text);
        }
        text
    }

    fn failures(&self, text: &mut String, title: &str, outcome: Outcome) {
        let mut entries = self.entries.iter().filter(|entry| entry.outcome == outcome).peekable();
        if entries.peek().is_none() {
            return;
        }
        let _ = writeln!(text, "\n## {title}\n");
        for entry in entries {
            let detail = failure::in_words(entry.detail.as_deref().unwrap_or("the check gives no detail"));
            let _ = writeln!(text, "- `{}` on {}", entry.printed_id(), entry.backend);
            for line in std::iter::once(&*format!("rule: {}", entry.about)).chain(detail.lines()) {
                let _ = writeln!(text, "  - {line}");
            }
        }
    }

    /// Returns how many checks do not apply to a backend, and why: `43 checks do not apply: …`.
    fn not_claimed_line(&self, column: &Column) -> Option<String> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &self.entries {
            if entry.backend == column.backend && entry.outcome == Outcome::NotApplicable {
                *reasons.entry(entry.detail.as_deref().unwrap_or("no reason")).or_default() += 1;
            }
        }
        let count: usize = reasons.values().sum();
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
        let noun = if count == 1 { "check does" } else { "checks do" };
        (count > 0).then(|| {
            format!("{count} {noun} not apply: {}. `{NOT_CLAIMED}=list` lists them.", reasons.join("; "))
        })
    }

    fn not_claimed_list(&self, text: &mut String) {
        let mut entries =
            self.entries.iter().filter(|entry| entry.outcome == Outcome::NotApplicable).peekable();
        if entries.peek().is_none() {
            return;
        }
        let _ = writeln!(text, "\n## Not applicable\n");
        for entry in entries {
            let reason = entry.detail.as_deref().unwrap_or("no reason");
            let _ = writeln!(text, "- `{}` on {}: {reason}", entry.printed_id(), entry.backend);
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Capabilities, Durability};

    use super::*;
    use crate::{Profile, report::Entry};

    fn report() -> Report {
        let column = Column::of(&Profile::new("b"), &Capabilities::full(Durability::Volatile));
        let ids = [
            "messages.appends_are_concatenated",
            "messages.every_role_is_kept",
            "search.hit_shows_role_and_time",
        ];
        let checks =
            ids.map(|id| *crate::checks::all().iter().find(|check| check.id == id).expect("a known check"));
        let failure =
            "src/a.rs:7: assertion `left == right` failed\n  left: \"a\"\n right: \"ab\"".to_owned();
        let entries = vec![
            Entry::of("b", checks[0], Outcome::Fail, Some(failure)),
            Entry::of("b", checks[1], Outcome::Pass, None),
            Entry::of("b", checks[2], Outcome::NotApplicable, Some("search is not claimed".to_owned())),
        ];
        Report { columns: vec![column], entries }
    }

    #[test]
    fn failure_shows_id_rule_expected_and_actual() {
        let text = report().to_markdown();
        let rule =
            "the content after a thousand appends is their concatenation, and a reader sees only prefixes";
        let due = format!(
            "- `messages.appends_are_concatenated (VL-S12)` on b\n  - rule: {rule}\n  - expected: \"ab\"\n  - actual: \"a\"\n  - at: src/a.rs:7\n"
        );
        assert!(text.contains(&due), "{text}");
    }

    #[test]
    fn unclaimed_checks_are_counted_in_one_line_and_listed_on_request() {
        let (counted, listed) = (report().to_markdown(), report().to_markdown_with_not_claimed());
        assert!(counted.contains("1 check does not apply: search is not claimed (1)."), "{counted}");
        assert!(!counted.contains("search.hit_shows_role_and_time"), "{counted}");
        assert!(
            listed.contains("- `search.hit_shows_role_and_time` on b: search is not claimed"),
            "{listed}"
        );
    }
}
