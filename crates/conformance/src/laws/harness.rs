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

/// Runs every law for every layer, and says which of them are broken: one text for each, which begins with the names of the
/// layer and the law, so `` `trace` breaks `law.error`: … ``.
#[must_use]
pub fn broken(fixtures: Vec<Box<dyn LayerFixture>>) -> Vec<String> {
    let mut broken = Vec::new();
    for subject in fixtures.into_iter().map(Subject::from) {
        let profile = subject.profile();
        for law in law::all().filter(|law| law.gate(&profile).is_none()) {
            if let (Outcome::Fail, Some(detail)) = judge(run(&subject, law), profile.expected(law.id)) {
                broken.push(format!("`{}` breaks `{}`: {}\n{detail}", profile.name(), law.id, law.about));
            }
        }
    }
    broken
}

/// Runs every law for every layer, inside a test of any harness.
///
/// # Panics
/// When a law is broken; the text names every one that is, and by which layer.
pub fn assert_kept(fixtures: Vec<Box<dyn LayerFixture>>) {
    let broken = broken(fixtures);
    assert!(broken.is_empty(), "{} laws are broken\n\n{}", broken.len(), broken.join("\n\n"));
}

/// Runs all laws on layers: in a test function `layer_laws`, or as a whole `main`.
///
/// ```
/// use throughline_conformance::{layer_laws, laws::LayerProfile};
/// use throughline_core::layers::{limits::LimitsLayer, trace::TraceLayer};
///
/// // Each alone, every pair in every order that is allowed, and all of more than two together.
/// layer_laws!(
///     LayerProfile::transparent("limits") => LimitsLayer::new(),
///     LayerProfile::transparent("trace") => TraceLayer::new(),
/// );
/// ```
///
/// With `main:` in front it writes the `main` of a test target with `harness = false`, where each law is a test of its own:
///
/// ```no_run
/// # use throughline_conformance::{layer_laws, laws::LayerProfile};
/// # use throughline_core::layers::trace::TraceLayer;
/// layer_laws!(main: LayerProfile::transparent("trace") => TraceLayer::new());
/// ```
#[macro_export]
macro_rules! layer_laws {
    (main: $($profile:expr => $layer:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::laws::main($crate::laws::LayerSet::new()$(.with($profile, || $layer))+.every_way())
        }
    };
    ($($profile:expr => $layer:expr),+ $(,)?) => {
        #[test]
        fn layer_laws() {
            $crate::laws::assert_kept($crate::laws::LayerSet::new()$(.with($profile, || $layer))+.every_way());
        }
    };
}

fn trial(subject: &Subject, law: &'static Law, found: &Found) -> Trial {
    let profile = subject.profile();
    let name = format!("{}.{}", profile.name(), law.id);
    if let Some(why) = law.gate(&profile) {
        let refuse = move || Err(format!("not applicable: {why}").into());
        return Trial::test(name, refuse).with_kind("law").with_ignored_flag(true);
    }
    let expected = profile.expected(law.id).map(str::to_owned);
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
    // A stack of several is counted below: a column for each pair would be a wide table.
    let (stacks, subjects): (Vec<_>, Vec<_>) =
        subjects.iter().partition(|subject| subject.profile().sites.len() > 1);
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
    if !stacks.is_empty() {
        let of_stacks = |outcome: Outcome| {
            let names: Vec<_> = stacks.iter().map(|stack| stack.profile().name().to_owned()).collect();
            found.iter().filter(|(_, name, found)| *found == outcome && names.contains(name)).count()
        };
        let (stacks, passed, failed) = (stacks.len(), of_stacks(Outcome::Pass), of_stacks(Outcome::Fail));
        let _ =
            writeln!(text, "\nOf {stacks} stacks of several layers: {passed} laws kept, {failed} broken.");
    }
    text
}
