//! The `main` of a test target.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use libtest_mimic::{Arguments, Trial};
use throughline_core::{Backend as _, Capabilities};

use crate::{
    Check, Fixture, StoreLocation, child,
    erased::Subject,
    expectation::outcome_of,
    model,
    report::{Column, Entry, Fragments, Outcome, Report, failure},
    runner,
};

/// Runs every check of a backend: the whole `main` of a test target with `harness = false`.
///
/// Accepts the arguments of a Rust test program (`--list`, filters, `--exact`, `--skip`, …). A check that does not
/// apply to the claims of the backend is *ignored*: it is listed, and counts as neither passed nor failed.
///
/// See the [crate](crate) for a whole program.
pub fn main(fixture: impl Fixture) -> ExitCode {
    let subject: Arc<dyn Subject> = Arc::new(fixture);
    // Before the arguments: a check can have started this program again as a child process.
    if let Some(role) = child::requested() {
        return role.play(&subject);
    }
    let mut arguments = Arguments::from_args();
    // The checks of a durable store mostly wait for the disk.
    arguments.test_threads.get_or_insert(THREADS);
    let claims = match claims(&subject) {
        Ok(claims) => claims,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "the backend did not open: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let column = Column::of(&subject.profile(), &claims);
    let run = Arc::new(Run::new(subject, claims));
    run.leave(|fragments| fragments.column(&column));
    let trials = run.trials();
    let count = trials.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut report = run.report();
    // A process with one check leaves only its fragment; a table of one line would not help.
    if !arguments.list && !report.entries.is_empty() && (report.entries.len() > 1 || count == 1) {
        report.columns.push(column);
        report.add_gated(run.pausable());
        report.sort();
        drop(writeln!(std::io::stdout(), "{}", report.to_wanted_markdown()));
    }
    conclusion.exit_code()
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
        let unknown: Vec<_> = unknown.map(unknown_expectation).collect();
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
        let ended = runner::run(&self.subject, check, &self.claims, model::seed());
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

    fn pausable(&self) -> Vec<Entry> {
        let pausable = crate::checks::all()
            .iter()
            .filter_map(|check| Some((check, check.why_not_applicable(&self.claims)?)));
        pausable.map(|(check, why)| self.entry(check, Outcome::NotApplicable, Some(why))).collect()
    }

    fn report(&self) -> Report {
        Report { columns: Vec::new(), entries: lock(&self.entries).clone() }
    }

    /// Reports an error if the report cannot be written, and fails no check.
    fn leave(&self, write: impl FnOnce(&Fragments) -> std::io::Result<()>) {
        if let Err(error) = write(&self.fragments) {
            drop(writeln!(std::io::stderr(), "the report cannot be written: {error}"));
        }
    }
}

impl Report {
    fn add_gated(&mut self, pausable: Vec<Entry>) {
        self.entries.extend(pausable);
    }
}

/// Fails if an expectation names an unknown check, so that a misspelt one is visible.
fn unknown_expectation(id: &str) -> Trial {
    let why = format!("the profile expects `{id}` to fail, and there is no such check");
    Trial::test(format!("profile.{id}"), move || Err(why.into())).with_kind("profile")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
