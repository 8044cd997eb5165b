//! The table for people.

use std::fmt::Write as _;

use super::{Outcome, Report};

impl Report {
    /// The report as Markdown: the [headline](Report::headline), the level of each backend, a table of check × backend, and every failure in full.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.headline());
        for column in &self.columns {
            let _ = writeln!(
                text,
                "- **{}** ({}): {}",
                column.backend,
                column.claims,
                self.level_line(&column.backend)
            );
            for note in &column.notes {
                let _ = writeln!(text, "  - {note}");
            }
        }
        let backends: Vec<&str> = self.columns.iter().map(|column| column.backend.as_str()).collect();
        let _ = writeln!(text, "\n| check | level | {} |", backends.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(backends.len()));
        let mut last = "";
        for entry in &self.entries {
            if entry.check == last {
                continue;
            }
            last = &entry.check;
            let cells = backends.iter().map(|backend| {
                self.entry(&entry.check, backend).map_or("not run", |entry| entry.outcome.as_str())
            });
            let cells = cells.collect::<Vec<_>>().join(" | ");
            let _ = writeln!(text, "| `{}` | {} | {cells} |", entry.check, entry.level);
        }
        self.details(&mut text, "Failures", Outcome::Fail);
        self.details(&mut text, "Expected failures", Outcome::ExpectedFail);
        self.details(&mut text, "Not applicable", Outcome::NotApplicable);
        text
    }

    fn details(&self, text: &mut String, title: &str, outcome: Outcome) {
        let mut entries = self.entries.iter().filter(|entry| entry.outcome == outcome).peekable();
        if entries.peek().is_none() {
            return;
        }
        let _ = writeln!(text, "\n## {title}\n");
        for entry in entries {
            let detail = entry.detail.as_deref().unwrap_or("without a word").replace('\n', "\n  ");
            let _ = writeln!(text, "- `{}` on {}: {}", entry.check, entry.backend, entry.about);
            let _ = writeln!(text, "  {detail}");
        }
    }
}
