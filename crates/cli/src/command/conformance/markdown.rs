//! The report as Markdown.

use super::summary::{Failed, Family, Summary};
use crate::{
    Failure,
    command::show::escaped,
    output::{Output, line},
};

pub(super) fn write(backend: &Summary, output: &mut Output) -> Result<(), Failure> {
    let text = |text: &str| escaped(&line(text));
    // The ids in the verdict are in code spans.
    output.line(format_args!("# {} {}\n", text(&backend.backend), line(&backend.verdict())))?;
    output.line(format_args!("- claims: {}", text(&backend.claims)))?;
    output.line(format_args!("- level: {}", text(backend.level_in_words())))?;
    for remark in &backend.remarks {
        output.line(format_args!("- {}", text(remark)))?;
    }
    output.line("\n| checks | passed | failed | not claimed | expected to fail | not run |")?;
    output.line("|---|---:|---:|---:|---:|---:|")?;
    for family in backend.families.iter().chain([&backend.total]) {
        let Family { family, passed, failed, expected_to_fail, not_claimed, not_run } = family;
        output.line(format_args!(
            "| {} | {passed} | {failed} | {not_claimed} | {expected_to_fail} | {not_run} |",
            text(family).replace('|', r"\|")
        ))?;
    }
    if let Some(not_claimed) = backend.not_claimed_in_words() {
        output.line(format_args!("\n{}", text(&not_claimed)))?;
    }
    for (title, failures) in
        [("Failures", &backend.failures), ("Expected failures", &backend.expected_failures)]
    {
        if !failures.is_empty() {
            output.line(format_args!("\n## {title}\n"))?;
        }
        for failed in failures {
            failure(failed, output)?;
        }
    }
    Ok(())
}

fn failure(failed: &Failed, output: &mut Output) -> Result<(), Failure> {
    output.line(format_args!("- `{}`", line(&failed.id()).replace('`', "'")))?;
    for (name, fact) in failed.facts() {
        output.line(format_args!("  - {name}: {}", escaped(&line(fact))))?;
    }
    Ok(())
}
