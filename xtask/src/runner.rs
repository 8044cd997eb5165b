//! Running steps one after the other.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::report::{self, Row, Verdict};
use crate::skips::Skips;
use crate::steps::Step;
use crate::workspace::Workspace;

/// Runs the steps, prints the closing table, and says whether all went well.
pub(crate) fn run(workspace: &Workspace, steps: &[&'static Step], keep_going: bool) -> ExitCode {
    let mut skips = Skips::default();
    let rows = rows(workspace, steps, keep_going, &mut skips);
    println!("\n{}", report::render(&rows, &skips));
    if rows.iter().any(Row::failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn rows(workspace: &Workspace, steps: &[&'static Step], keep_going: bool, skips: &mut Skips) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for step in steps {
        let stopped = !keep_going && rows.iter().any(Row::failed);
        rows.push(if stopped {
            Row { step: step.name, verdict: Verdict::NotRun, took: Duration::ZERO }
        } else {
            row(workspace, step, skips)
        });
    }
    rows
}

fn row(workspace: &Workspace, step: &'static Step, skips: &mut Skips) -> Row {
    println!("\n==> {}: {}", step.name, step.summary);
    let start = Instant::now();
    let verdict = match (step.run)(workspace, skips) {
        Ok(()) => Verdict::Ok,
        Err(error) => {
            println!("FAILED: {}: {error}", step.name);
            Verdict::Failed(error.to_string())
        }
    };
    Row { step: step.name, verdict, took: start.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    fn passes(_: &Workspace, _: &mut Skips) -> Result {
        Ok(())
    }

    fn fails(_: &Workspace, _: &mut Skips) -> Result {
        Err("on purpose".into())
    }

    static PASSES: Step = Step { name: "passes", summary: "", quick: false, run: passes };
    static FAILS: Step = Step { name: "fails", summary: "", quick: false, run: fails };

    fn verdicts(keep_going: bool) -> Vec<&'static str> {
        let workspace = Workspace::find(false).expect("the workspace of this test");
        let steps = [&PASSES, &FAILS, &PASSES];
        let rows = rows(&workspace, &steps, keep_going, &mut Skips::default());
        let word = |row: &Row| match row.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed(_) => "failed",
            Verdict::NotRun => "not run",
        };
        rows.iter().map(word).collect()
    }

    #[test]
    fn the_first_failure_stops_the_run() {
        assert_eq!(verdicts(false), ["ok", "failed", "not run"]);
    }

    #[test]
    fn keep_going_runs_the_rest() {
        assert_eq!(verdicts(true), ["ok", "failed", "ok"]);
    }
}
