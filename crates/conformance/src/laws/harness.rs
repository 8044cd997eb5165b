//! The `main` of a test target of laws.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use libtest_mimic::{Arguments, Trial};

use super::{Law, LayerFixture, bench::Bench, law};
use crate::{judge::judge, report::Outcome, verdict};

/// A layer without its type.
pub(crate) type Subject = Arc<dyn LayerFixture>;

/// Runs one law for one layer; an error says where it failed and on what.
pub(crate) fn run(subject: &Subject, law: &'static Law) -> Result<(), String> {
    let subject = Arc::clone(subject);
    verdict::isolated(law.id, false, move || async move { (law.run)(Bench::new(&subject)).await })
}

type Found = Arc<Mutex<Vec<(&'static str, String, Outcome)>>>;

/// Runs every law for every layer: the whole `main` of a test target with `harness = false`.
///
/// A law that does not apply to a layer is *ignored*: it is listed, and counts as neither kept nor broken.
#[must_use]
pub fn main(fixtures: Vec<Box<dyn LayerFixture>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let subjects: Vec<Subject> = fixtures.into_iter().map(Arc::from).collect();
    let found = Found::default();
    let trials = subjects.iter().flat_map(|subject| law::all().map(|law| trial(subject, law, &found)));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    if !arguments.list && found.len() > 1 {
        drop(writeln!(std::io::stdout(), "{}", table(&subjects, &found)));
    }
    conclusion.exit_code()
}

fn trial(subject: &Subject, law: &'static Law, found: &Found) -> Trial {
    let profile = subject.profile();
    let name = format!("{}.{}", profile.name(), law.id);
    if let Some(why) = law.gate(&profile) {
        let refuse = move || Err(format!("not applicable: {why}").into());
        return Trial::test(name, refuse).with_kind("law").with_ignored_flag(true);
    }
    let expected = profile.expected.iter().find(|(id, _)| id == law.id).map(|(_, why)| why.clone());
    let (subject, found) = (Arc::clone(subject), Arc::clone(found));
    let judge = move || {
        let (outcome, detail) = judge(run(&subject, law), expected.as_deref());
        let name = subject.profile().name().to_owned();
        found.lock().unwrap_or_else(PoisonError::into_inner).push((law.id, name, outcome));
        match (outcome, detail) {
            (Outcome::Fail, Some(detail)) => Err(format!("{}\n{detail}", law.about).into()),
            _ => Ok(()),
        }
    };
    Trial::test(name, judge).with_kind("law")
}

/// Law × layer, as Markdown.
fn table(subjects: &[Subject], found: &[(&'static str, String, Outcome)]) -> String {
    let names: Vec<String> = subjects.iter().map(|subject| subject.profile().name().to_owned()).collect();
    let mut text = format!(
        "# Laws for layers\n\n| law | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for law in law::all() {
        let cells = subjects.iter().zip(&names).map(|(subject, name)| {
            if law.gate(&subject.profile()).is_some() {
                return Outcome::NotApplicable.as_str();
            }
            let found = found.iter().find(|(id, layer, _)| *id == law.id && layer == name);
            found.map_or("not run", |(_, _, outcome)| outcome.as_str())
        });
        let _ = writeln!(text, "| `{}` | {} |", law.id, cells.collect::<Vec<_>>().join(" | "));
    }
    text
}
