//! The closing table.

use std::fmt::Write;
use std::time::Duration;

use crate::skips::Skips;

/// How a step ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Everything it checks holds.
    Ok,
    /// Something does not; the text says what.
    Failed(String),
    /// An earlier step failed.
    NotRun,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The step's name.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Row {
    /// Whether the step failed.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }
}

/// The table of steps, then what was skipped, then what failed.
pub(crate) fn render(rows: &[Row], skips: &Skips) -> String {
    let mut out = format!("{:<12} {:<8} {:>8}\n", "step", "result", "seconds");
    for Row { step, verdict, took } in rows {
        let (result, seconds) = match verdict {
            Verdict::Ok => ("ok", format!("{:.1}", took.as_secs_f64())),
            Verdict::Failed(_) => ("FAILED", format!("{:.1}", took.as_secs_f64())),
            Verdict::NotRun => ("not run", "-".to_owned()),
        };
        push(&mut out, format_args!("{step:<12} {result:<8} {seconds:>8}"));
    }
    let total: Duration = rows.iter().map(|row| row.took).sum();
    push(&mut out, format_args!("{:<12} {:<8} {:>8.1}", "all", "", total.as_secs_f64()));
    for skip in skips.iter() {
        push(&mut out, format_args!("{skip}"));
    }
    for row in rows {
        if let Verdict::Failed(why) = &row.verdict {
            push(&mut out, format_args!("FAILED: {}: {why}", row.step));
        }
    }
    out
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_skips_and_failures_all_show() {
        let mut skips = Skips::default();
        skips.add("the moon", "cloudy");
        let rows = [
            Row { step: "fmt", verdict: Verdict::Ok, took: Duration::from_millis(1250) },
            Row { step: "tests", verdict: Verdict::Failed("two".into()), took: Duration::from_secs(2) },
            Row { step: "guard", verdict: Verdict::NotRun, took: Duration::ZERO },
        ];
        let expected = "\
step         result    seconds
fmt          ok            1.2
tests        FAILED        2.0
guard        not run         -
all                        3.2
SKIPPED: the moon (cloudy)
FAILED: tests: two
";
        assert_eq!(render(&rows, &skips), expected);
    }
}
