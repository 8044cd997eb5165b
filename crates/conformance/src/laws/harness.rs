//! The `main` of a test target of laws.

use std::{
    cell::Cell,
    fmt::Write as _,
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};

use super::{Law, LayerFixture, bench::Bench, law, progress::Progress};
use crate::{
    expectation::outcome_of,
    report::{Outcome, failure},
    runner,
};

/// A layer without its type.
pub(crate) type Subject = Arc<dyn LayerFixture>;

/// Runs one law for one layer. An error says where the law failed and in which case.
pub(crate) fn run(subject: &Subject, law: &'static Law) -> Result<(), String> {
    run_for(NO_PROGRESS, subject, law).map_err(|broken| broken.detail)
}

/// The longest time without a call or an answer at a probe before a law counts as hanging. Each takes microseconds.
const NO_PROGRESS: Duration = Duration::from_secs(10);

/// A broken law.
struct Broken {
    detail: String,
    /// Whether the law hangs.
    hangs: bool,
}

fn run_for(no_progress: Duration, subject: &Subject, law: &'static Law) -> Result<(), Broken> {
    let (progress, hangs) = (Progress::default(), Cell::new(false));
    let (layer, watched) = (subject.profile().name().to_owned(), progress.clone());
    let last = Cell::new((0, Duration::ZERO));
    let too_long = runner::timeout_after(runner::HANGS_AFTER_IN_MEMORY);
    let does_not_end = |took: Duration| {
        let events = watched.events();
        let (seen, since) = last.get();
        if seen != events {
            last.set((events, took));
        }
        let stuck = seen == events && took.saturating_sub(since) >= no_progress;
        let ends = too_long(took).is_none() && !stuck && !watched.repeats();
        hangs.set(!ends);
        (!ends).then(|| format!("`{}` does not end: the layer `{layer}` {watched}", law.id))
    };
    let subject = Arc::clone(subject);
    let work = move || async move { (law.run)(Bench::new(&subject, progress)).await };
    runner::isolated_until(does_not_end, law.id, false, work)
        .map_err(|detail| Broken { detail, hangs: hangs.get() })
}

type Found = Arc<Mutex<Vec<(&'static str, String, Outcome)>>>;

/// Runs every law for every layer: the whole `main` of a test target with `harness = false`.
///
/// A law that does not apply to a layer is *ignored*: it is listed, and counts as neither passed nor failed.
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

/// Runs every law for every layer, and returns a text for each broken law. It begins with the names of the
/// layer and the law, such as `` `trace` breaks `laws.inner_error_keeps_kind_effect_and_site`: … ``.
///
/// A law fails as hanging after ten seconds without a call or an answer. Its text names the event that the layer waits
/// for, or says that the layer blocks its thread. The later laws are not run for that layer.
#[must_use]
pub fn broken(fixtures: Vec<Box<dyn LayerFixture>>) -> Vec<String> {
    let mut broken = Vec::new();
    for subject in fixtures.into_iter().map(Subject::from) {
        let profile = subject.profile();
        for law in law::all().filter(|law| law.why_not_applicable(&profile).is_none()) {
            let ran = run_for(NO_PROGRESS, &subject, law);
            let hangs = ran.as_ref().is_err_and(|broken| broken.hangs);
            let ended = ran.map_err(|broken| broken.detail);
            if let (Outcome::Fail, Some(detail)) = outcome_of(ended, profile.expected(law.id)) {
                let rest = if hangs { "\nthe laws after this one were not run" } else { "" };
                broken.push(format!(
                    "`{}` breaks `{}`: {}\n{}{rest}",
                    profile.name(),
                    law.id,
                    law.about,
                    failure::in_words(&detail)
                ));
            }
            if hangs {
                // Each later law would hang until its timeout.
                break;
            }
        }
    }
    broken
}

/// Runs every law for every layer, inside a test of any harness.
///
/// # Panics
/// Panics if a law is broken. The message names every broken law and its layer.
pub fn assert_kept(fixtures: Vec<Box<dyn LayerFixture>>) {
    let broken = broken(fixtures);
    assert!(broken.is_empty(), "{} laws are broken\n\n{}", broken.len(), broken.join("\n\n"));
}

/// Runs all laws on layers: in a test function `layer_laws`, or as a whole `main`.
///
/// ```
/// use throughline_conformance::{layer_laws, laws::LayerProfile};
/// use throughline_layers::{limits::LimitsLayer, trace::TraceLayer};
///
/// // Each alone, every pair in every allowed order, and all of more than two together.
/// layer_laws!(
///     LayerProfile::transparent("limits").limits_content() => LimitsLayer::new(),
///     LayerProfile::transparent("trace") => TraceLayer::new(),
/// );
/// ```
///
/// A [`Plugin`](throughline_core::Plugin) is passed directly:
///
/// ```
/// use throughline_conformance::{layer_laws, laws::LayerProfile};
/// use throughline_core::Plugin;
///
/// /// Forwards every call.
/// struct Passes;
///
/// impl Plugin for Passes {
///     fn name(&self) -> &str {
///         "passes"
///     }
/// }
///
/// layer_laws!(LayerProfile::transparent("passes") => Passes);
/// ```
///
/// With the prefix `main:` it writes the `main` of a test target with `harness = false`, where each law is a test of its own:
///
/// ```no_run
/// # use throughline_conformance::{layer_laws, laws::LayerProfile};
/// # use throughline_layers::trace::TraceLayer;
/// layer_laws!(main: LayerProfile::transparent("trace") => TraceLayer::new());
/// ```
#[macro_export]
macro_rules! layer_laws {
    (main: $($profile:expr => $layer:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::laws::main($crate::layer_laws!(@set $($profile => $layer),+).every_way())
        }
    };
    (@set $($profile:expr => $layer:expr),+) => {{
        #[allow(unused_imports, reason = "of layers and plugins a list may have only one")]
        use $crate::laws::macro_support::{AddLayer as _, AddPlugin as _};
        let set = $crate::laws::LayerSet::new();
        $(
            let make = || $layer;
            let set = (&$crate::laws::macro_support::type_of(&make)).add(set, $profile, make);
        )+
        set
    }};
    ($($profile:expr => $layer:expr),+ $(,)?) => {
        #[test]
        fn layer_laws() {
            $crate::laws::assert_kept($crate::layer_laws!(@set $($profile => $layer),+).every_way());
        }
    };
}

fn trial(subject: &Subject, law: &'static Law, found: &Found) -> Trial {
    let profile = subject.profile();
    let name = format!("{}.{}", profile.name(), law.id);
    if let Some(why) = law.why_not_applicable(&profile) {
        let refuse = move || Err(format!("not applicable: {why}").into());
        return Trial::test(name, refuse).with_kind("law").with_ignored_flag(true);
    }
    let expected = profile.expected(law.id).map(str::to_owned);
    let (subject, found) = (Arc::clone(subject), Arc::clone(found));
    let outcome_of = move || {
        let (outcome, detail) = outcome_of(run(&subject, law), expected.as_deref());
        let name = subject.profile().name().to_owned();
        found.lock().unwrap_or_else(PoisonError::into_inner).push((law.id, name, outcome));
        match (outcome, detail) {
            (Outcome::Fail, Some(detail)) => {
                Err(failure::describe("law", &law.id, law.about, &detail).into())
            }
            _ => Ok(()),
        }
    };
    Trial::test(name, outcome_of).with_kind("law")
}

/// A table of laws and layers, as Markdown. It omits the layers and stacks that the arguments do not select.
fn table(subjects: &[Subject], found: &[(&'static str, String, Outcome)]) -> String {
    let ran = |subject: &&Subject| found.iter().any(|(_, name, _)| name == subject.profile().name());
    // Stacks of several layers are counted below the table: a column for each pair would be too wide.
    let (stacks, subjects): (Vec<_>, Vec<_>) =
        subjects.iter().filter(ran).partition(|subject| subject.profile().sites.len() > 1);
    let names: Vec<String> = subjects.iter().map(|subject| subject.profile().name().to_owned()).collect();
    let mut text = format!(
        "# Laws for layers\n\n| law | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for law in law::all() {
        let outcomes = subjects.iter().zip(&names).map(|(subject, name)| {
            if law.why_not_applicable(&subject.profile()).is_some() {
                return Outcome::NotApplicable.as_str();
            }
            let found = found.iter().find(|(id, layer, _)| *id == law.id && layer == name);
            found.map_or("not run", |(_, _, outcome)| outcome.as_str())
        });
        let _ = writeln!(text, "| `{}` | {} |", law.id, outcomes.collect::<Vec<_>>().join(" | "));
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

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::mpsc};

    use throughline_core::{
        PersistRequest, Phase,
        plugin::{NextRequest, from_fn},
    };

    use super::*;
    use crate::laws::{LayerProfile, LayerSet};

    #[test]
    fn table_omits_layers_of_which_no_law_ran() {
        let passes =
            || from_fn("any", Phase::Observe, |request: PersistRequest, next: NextRequest| next.run(request));
        let set = LayerSet::new()
            .with(LayerProfile::transparent("one"), passes)
            .with(LayerProfile::transparent("other"), passes);
        let subjects: Vec<Subject> = set.alone().into_iter().map(Arc::from).collect();
        let law = law::all().next().expect("a law").id;
        let text = table(&subjects, &[(law, "one".to_owned(), Outcome::Pass)]);
        assert!(text.starts_with("# Laws for layers\n\n| law | one |\n|---|---|\n"), "{text}");
        assert!(text.contains(&format!("| `{law}` | {} |\n", Outcome::Pass.as_str())), "{text}");
    }

    /// A short timeout: every law in these tests hangs.
    const SOON: Duration = Duration::from_secs(2);

    fn why(set: &LayerSet) -> String {
        let subject = Subject::from(set.alone().remove(0));
        let law = law::all().find(|law| law.id == "laws.every_operation_visits_the_layer_once").unwrap();
        let broken = run_for(SOON, &subject, law).expect_err("it does not end");
        assert!(broken.hangs);
        broken.detail
    }

    /// The set that [`layer_laws!`] builds.
    #[test]
    fn macro_accepts_a_layer_and_a_plugin() {
        struct Passes;
        impl throughline_core::Plugin for Passes {
            fn name(&self) -> &str {
                "passes"
            }
        }
        let set = crate::layer_laws!(@set
            LayerProfile::transparent("passes") => Passes,
            LayerProfile::transparent("trace") => throughline_layers::trace::TraceLayer::new()
        );
        assert_eq!(broken(set.every_way()), Vec::<String>::new());
    }

    #[test]
    fn blocking_layer_is_named_with_the_blocked_call() {
        let blocks = || {
            from_fn("blocks", Phase::Observe, |request: PersistRequest, next: NextRequest| async move {
                let (never, waits) = mpsc::channel::<()>();
                waits.recv_timeout(Duration::from_secs(3600)).ok();
                drop(never);
                next.run(request).await
            })
        };
        let set = LayerSet::new().with(LayerProfile::transparent("blocks"), blocks);
        let due = "`laws.every_operation_visits_the_layer_once` does not end: the layer `blocks` blocks its thread in `add`, before it was passed on";
        assert_eq!(why(&set), due);
    }

    #[test]
    fn layer_that_never_wakes_is_named_with_the_awaited_event() {
        let forgets = || {
            from_fn("forgets", Phase::Observe, |request: PersistRequest, next: NextRequest| async move {
                let _answer = next.run(request).await;
                pending().await
            })
        };
        let set = LayerSet::new().with(LayerProfile::transparent("forgets"), forgets);
        let due = "the layer `forgets` waits in `add`, after the store has answered, and is not woken";
        assert!(why(&set).ends_with(due), "{}", why(&set));
    }
}
