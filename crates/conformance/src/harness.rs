//! The `main` of a test target.

use std::{
    fmt,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use clap::Parser;
use libtest_mimic::Trial;
use throughline_core::{Backend as _, Capabilities};

use crate::{
    Check, Fixture, StoreLocation, child,
    erased::Subject,
    expectation::outcome_of,
    model,
    report::{Column, Entry, Fragments, Outcome, Report, ReportFile, failure},
    runner,
};

/// Runs every check of a backend: the whole `main` of a test target with `harness = false`.
///
/// Accepts the arguments of a Rust test program (`--list`, filters, `--exact`, `--skip`, …). A check that does not
/// apply to the claims of the backend is *ignored*: it is listed, and counts as neither passed nor failed.
/// `--report FILE` writes the [report](crate::report::Report) to a file as JSON, in place of an earlier one, for the command
/// `throughline conformance report`. A relative path begins at the folder of the package under `cargo test`.
///
/// See the [crate](crate) for a whole program.
pub fn main(fixture: impl Fixture) -> ExitCode {
    let subject: Arc<dyn Subject> = Arc::new(fixture);
    // Before the arguments: a check can have started this program again as a child process.
    if let Some(role) = child::requested() {
        return role.play(&subject);
    }
    run(subject, ProgramArguments::parse())
}

/// The arguments of the test program.
#[derive(Debug, Parser)]
struct ProgramArguments {
    #[command(flatten)]
    tests: libtest_mimic::Arguments,
    /// Writes the report to this file as JSON, for `throughline conformance report`
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn run(subject: Arc<dyn Subject>, mut arguments: ProgramArguments) -> ExitCode {
    // The checks of a durable store mostly wait for the disk.
    arguments.tests.test_threads.get_or_insert(THREADS);
    let is_list = arguments.tests.list;
    let file = match arguments.report.filter(|_| !is_list).map(ReportFile::begin).transpose() {
        Ok(file) => file,
        Err(error) => return complain(format_args!("an earlier report cannot be removed: {error}")),
    };
    let claims = match claims(&subject) {
        Ok(claims) => claims,
        Err(error) => return complain(format_args!("the backend did not open: {error}")),
    };
    let column = Column::of(&subject.profile(), &claims);
    let run = Arc::new(Run::new(subject, claims));
    run.leave(|fragments| fragments.column(&column));
    let trials = run.trials();
    let count = trials.len();
    let conclusion = libtest_mimic::run(&arguments.tests, trials);
    let ran = lock(&run.entries).len();
    let report = run.report(column);
    // A process with one check leaves only its fragment; a table of one line would not help.
    if !is_list && ran > 0 && (ran > 1 || count == 1) {
        drop(writeln!(std::io::stdout(), "{}", report.to_wanted_markdown()));
    }
    if let Some(file) = file
        && let Err(error) = file.write(&report)
    {
        let path = file.path().display();
        return complain(format_args!("the report `{path}` cannot be written: {error}"));
    }
    conclusion.exit_code()
}

/// Reports why the program ends without a result.
fn complain(why: fmt::Arguments<'_>) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{why}"));
    ExitCode::FAILURE
}

/// The number of checks that run in parallel, unless the arguments set it.
const THREADS: usize = 8;

/// Opens the backend once and reads its claims.
fn claims(subject: &Arc<dyn Subject>) -> Result<Capabilities, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let location = StoreLocation::fresh(directory.path());
    let answer = Arc::new(Mutex::new(None));
    let (asked, reported) = (Arc::clone(subject), Arc::clone(&answer));
    runner::isolated("claims", false, move || async move {
        let opened = asked.open(&location).await;
        let opened = opened.map(|backend| backend.capabilities());
        asked.clean(&location).await;
        *lock(&reported) = Some(opened.map_err(|error| error.to_string()));
    })?;
    let answer = lock(&answer).take();
    answer.unwrap_or_else(|| Err("no answer".to_owned()))
}

/// One run of the checks against one backend.
struct Run {
    subject: Arc<dyn Subject>,
    claims: Capabilities,
    fragments: Fragments,
    entries: Mutex<Vec<Entry>>,
}

impl Run {
    fn new(subject: Arc<dyn Subject>, claims: Capabilities) -> Self {
        Self { subject, claims, fragments: Fragments::from_environment(), entries: Mutex::default() }
    }

    fn trials(self: &Arc<Self>) -> Vec<Trial> {
        let profile = self.subject.profile();
        let unknown =
            profile.expected().filter(|id| crate::checks::all().iter().all(|check| check.id != *id));
        let unknown: Vec<_> = unknown.map(|id| self.unknown_expectation(id)).collect();
        let checks = crate::checks::all().iter().map(|check| self.trial(check));
        checks.chain(unknown).collect()
    }

    fn trial(self: &Arc<Self>, check: &'static Check) -> Trial {
        let why_not_applicable = check.why_not_applicable(&self.claims);
        if let Some(why) = why_not_applicable {
            let entry = self.entry(check, Outcome::NotApplicable, Some(why.clone()));
            self.leave(|fragments| fragments.entry(&entry));
            // If the command line selects the check nevertheless, the check fails.
            let refuse = move || Err(format!("not applicable: {why}").into());
            return Trial::test(check.to_string(), refuse)
                .with_kind(check.level.as_str())
                .with_ignored_flag(true);
        }
        let run = Arc::clone(self);
        Trial::test(check.to_string(), move || run.run(check)).with_kind(check.level.as_str())
    }

    fn run(&self, check: &Check) -> Result<(), libtest_mimic::Failed> {
        let begun = Instant::now();
        let ended = runner::run(&self.subject, check, &self.claims, model::seed(), runner::HANGS_AFTER);
        let profile = self.subject.profile();
        let (outcome, detail) = outcome_of(ended, profile.expected_failure(check.id));
        let mut entry = self.entry(check, outcome, detail.clone());
        entry.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.leave(|fragments| fragments.entry(&entry));
        lock(&self.entries).push(entry);
        match (outcome, detail) {
            (Outcome::Fail, Some(detail)) => {
                Err(failure::describe("check", check, check.about, &detail).into())
            }
            _ => Ok(()),
        }
    }

    fn entry(&self, check: &Check, outcome: Outcome, detail: Option<String>) -> Entry {
        Entry::of(self.subject.profile().name(), check, outcome, detail)
    }

    /// Fails if an expectation names an unknown check, so that a misspelt one is visible.
    fn unknown_expectation(self: &Arc<Self>, id: &str) -> Trial {
        let why = format!("the profile expects `{id}` to fail, and there is no such check");
        let entry = Entry::of_profile(self.subject.profile().name(), id, why.clone());
        let (run, name) = (Arc::clone(self), entry.check.clone());
        let fail = move || {
            lock(&run.entries).push(entry);
            Err(why.into())
        };
        Trial::test(name, fail).with_kind("profile")
    }

    /// The report of the checks that ran, and of those that do not apply.
    fn report(&self, column: Column) -> Report {
        let not_applicable = crate::checks::all().iter().filter_map(|check| {
            let why = check.why_not_applicable(&self.claims)?;
            Some(self.entry(check, Outcome::NotApplicable, Some(why)))
        });
        let entries = lock(&self.entries).iter().cloned().chain(not_applicable).collect();
        let mut report = Report { columns: vec![column], entries };
        report.sort();
        report
    }

    /// Reports an error if the report cannot be written, and fails no check.
    fn leave(&self, write: impl FnOnce(&Fragments) -> std::io::Result<()>) {
        if let Err(error) = write(&self.fragments) {
            drop(writeln!(std::io::stderr(), "the report cannot be written: {error}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use throughline_core::BoxError;
    use throughline_memory::MemoryBackend;

    use super::*;
    use crate::Profile;

    /// The backend in memory, whose profile expects a check to fail that does not exist.
    struct Memory;

    impl Fixture for Memory {
        type Backend = MemoryBackend;

        fn profile(&self) -> Profile {
            Profile::new("memory").expect_fail("messages.unknown", "a misspelt id")
        }

        async fn open(&self, _location: &StoreLocation) -> Result<MemoryBackend, BoxError> {
            Ok(MemoryBackend::new())
        }
    }

    #[test]
    fn the_report_of_selected_checks_is_written_to_the_file_of_its_argument() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = path.to_str().unwrap();
        let selected =
            ["conformance", "--report", report, "--exact", "messages.every_role_is_kept", "--quiet"];
        let run = |arguments: &[&str]| run(Arc::new(Memory), ProgramArguments::parse_from(arguments));
        assert_eq!(run(&selected), ExitCode::SUCCESS);
        let outcomes = || {
            let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let checks = document["backends"][0]["checks"].as_array().unwrap().clone();
            let of = move |id: &str| {
                checks
                    .iter()
                    .find(|check| check["check"] == id)
                    .map_or(Value::Null, |check| check["outcome"].clone())
            };
            (document["headline"].clone(), of)
        };
        let (headline, of) = outcomes();
        assert_eq!(headline, "Conformance: passed");
        assert_eq!(of("messages.every_role_is_kept"), "pass");
        assert_eq!(of("messages.appends_are_concatenated"), "notRun");
        assert_eq!(of("durability.acknowledged_writes_survive_a_crash"), "notApplicable");
        assert_eq!(of("profile.messages.unknown"), json!(null));

        assert_ne!(
            run(&["conformance", "--report", report, "profile.messages.unknown", "--quiet"]),
            ExitCode::SUCCESS
        );
        let (headline, of) = outcomes();
        assert_eq!(headline, "Conformance: FAILED, 1 check");
        assert_eq!(of("profile.messages.unknown"), "fail");

        assert_eq!(run(&["conformance", "--report", report, "--list"]), ExitCode::SUCCESS);
        assert_eq!(outcomes().0, headline, "a list keeps the report");
        let nowhere = folder.path().join("no/report.json");
        let selected =
            ["conformance", "--report", nowhere.to_str().unwrap(), "messages.every_role_is_kept", "--quiet"];
        assert_ne!(run(&selected), ExitCode::SUCCESS);
    }
}
