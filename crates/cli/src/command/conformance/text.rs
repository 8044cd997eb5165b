//! The report as text for a terminal.

use super::summary::{Failed, Family, Summary};
use crate::{
    Failure,
    output::{BAD, BOLD, CAUTION, Column, GOOD, Output, Table, line, shortened},
};

/// The most columns of one fact of a failure. `--json` has all of it.
const LONGEST_FACT: usize = 1000;

pub(super) fn write(backend: &Summary, output: &mut Output) -> Result<(), Failure> {
    let style = match (backend.keeps_claims(), backend.total.not_run) {
        (false, _) => BAD,
        (true, 0) => GOOD,
        (true, _) => CAUTION,
    };
    let name = line(&backend.backend);
    output.sentence(format_args!("{BOLD}{name}{BOLD:#} {style}{}{style:#}.", line(&backend.verdict())))?;
    let mut row =
        |name: &str, text: &str| output.hanging(format_args!("{BOLD}{name:<7}{BOLD:#} "), line(text));
    row("claims", &backend.claims)?;
    row("level", backend.level_in_words())?;
    for remark in &backend.remarks {
        row("remark", remark)?;
    }
    output.line("")?;
    table(backend).write(output)?;
    if let Some(text) = backend.not_claimed_in_words() {
        output.line("")?;
        output.sentence(line(&text))?;
    }
    for failed in &backend.failures {
        failure(&format!("{BAD}failed{BAD:#}"), failed, output)?;
    }
    for failed in &backend.expected_failures {
        failure(&format!("{CAUTION}failed as expected{CAUTION:#}"), failed, output)?;
    }
    Ok(())
}

/// A row for each family, and the sums. A column without a number other than 0 is left out, except the first three.
fn table(backend: &Summary) -> Table {
    type Number = fn(&Family) -> u64;
    let all: [(&'static str, Number); 5] = [
        ("PASSED", |family| family.passed),
        ("FAILED", |family| family.failed),
        ("NOT CLAIMED", |family| family.not_claimed),
        ("EXPECTED TO FAIL", |family| family.expected_to_fail),
        ("NOT RUN", |family| family.not_run),
    ];
    let shown: Vec<_> = all
        .into_iter()
        .enumerate()
        .filter(|(at, (_, number))| *at < 3 || number(&backend.total) > 0)
        .map(|(_, column)| column)
        .collect();
    let titles = shown.iter().map(|(title, _)| Column::Right(title));
    let mut table = Table::new(&titles.chain([Column::Left("CHECKS")]).collect::<Vec<_>>());
    for family in backend.families.iter().chain([&backend.total]) {
        let numbers = shown.iter().map(|(_, number)| number(family).to_string());
        table.row(numbers.chain([line(&family.family)]).collect());
    }
    table
}

fn failure(head: &str, failed: &Failed, output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    output.sentence(format_args!("{head} {}", line(&failed.id())))?;
    for (name, fact) in failed.facts() {
        output.hanging(format_args!("  {name:<8}  "), shortened(&line(fact), LONGEST_FACT))?;
    }
    Ok(())
}
