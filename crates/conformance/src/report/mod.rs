//! The results of the checks, as a table for people and as JSON for machines.
//!
//! Under `cargo test` all checks of a backend run in one process, and [`main`](crate::main) prints the table at its end.
//! With `--report FILE` it also writes the report as JSON. The command `throughline conformance report FILE` shows it by family:
//!
//! ```sh
//! cargo test --test conformance -- --report report.json
//! throughline conformance report report.json
//! ```
//!
//! Under a runner with a process for each test, every process writes its results to the directory that the
//! environment variable `THROUGHLINE_CONFORMANCE_REPORT` names, and the program `conformance-report` merges them:
//!
//! ```sh
//! export THROUGHLINE_CONFORMANCE_REPORT=target/conformance
//! cargo nextest run -p throughline-tests --test conformance_memory --test conformance_sqlite
//! cargo run -p throughline-conformance --bin conformance-report -- target/conformance
//! ```

mod document;
pub(crate) mod failure;
mod fragment;
mod level;
mod markdown;

use serde::{Deserialize, Serialize};
use throughline_core::{Capabilities, Durability};

use self::document::Document;
pub use self::document::VERSION;
pub(crate) use self::{document::ReportFile, fragment::Fragments};
use crate::{Check, Level, Profile};

/// The outcome of a check for a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The check passed.
    Pass,
    /// The check failed.
    Fail,
    /// The check does not apply to the claims of the backend.
    NotApplicable,
    /// The check failed, as the profile expects.
    ExpectedFail,
}

impl Outcome {
    /// The text of the outcome in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotApplicable => "n/a",
            Self::ExpectedFail => "xfail",
        }
    }
}

/// The result of one check for one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The backend.
    pub backend: String,
    /// The id of the check.
    pub check: String,
    /// The acceptance scenario that the check implements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The rule that the check verifies.
    pub about: String,
    /// `core` or `extended`; `profile` for a fault of the profile.
    pub level: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason why the check failed, or does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The duration.
    #[serde(default)]
    pub millis: u64,
}

impl Entry {
    pub(crate) fn of(backend: &str, check: &Check, outcome: Outcome, detail: Option<String>) -> Self {
        Self {
            backend: backend.to_owned(),
            check: check.id.to_owned(),
            scenario: check.scenario.map(str::to_owned),
            about: check.about.to_owned(),
            level: check.level.as_str().to_owned(),
            outcome,
            detail,
            millis: 0,
        }
    }

    /// The failure of a profile that names an unknown check.
    pub(crate) fn of_profile(backend: &str, id: &str, why: String) -> Self {
        Self {
            backend: backend.to_owned(),
            check: format!("profile.{id}"),
            scenario: None,
            about: "each expected failure of the profile is a check of the kit".to_owned(),
            level: "profile".to_owned(),
            outcome: Outcome::Fail,
            detail: Some(why),
            millis: 0,
        }
    }

    /// Returns the id, and the scenario in parentheses if there is one.
    pub(crate) fn printed_id(&self) -> String {
        match &self.scenario {
            Some(scenario) => format!("{} ({scenario})", self.check),
            None => self.check.clone(),
        }
    }
}

/// One backend, with its claims and the remarks of its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its name.
    pub backend: String,
    /// Its claims, as text.
    pub claims: String,
    /// The claimed durability of an acknowledged write.
    pub durability: Durability,
    /// The author's remarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl Column {
    pub(crate) fn of(profile: &Profile, claims: &Capabilities) -> Self {
        Self {
            backend: profile.name().to_owned(),
            claims: claims.to_string(),
            durability: claims.durability,
            remarks: profile.remarks().to_vec(),
        }
    }
}

/// The results of one backend or of several.
///
/// ```
/// use throughline_conformance::report::Report;
///
/// let report = Report::default();
/// assert!(report.is_success());
/// assert!(report.to_json().contains(r#""headline": "Conformance: passed""#));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The backends, in order of their names.
    pub columns: Vec<Column>,
    /// Every check of every backend, in the order of the registry.
    pub entries: Vec<Entry>,
}

impl Report {
    /// Whether no check failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.entries.iter().all(|entry| entry.outcome != Outcome::Fail)
    }

    /// Returns the report as a JSON document with the [version](VERSION) of its format. The guide *Writing a backend* lists its fields.
    ///
    /// # Panics
    /// Never panics: a report always serializes.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&Document::of(self)).expect("a report serializes")
    }

    /// Sorts columns and entries, and removes duplicates.
    pub(crate) fn sort(&mut self) {
        self.columns.sort_by(|a, b| a.backend.cmp(&b.backend));
        self.columns.dedup_by(|a, b| a.backend == b.backend);
        let order = |entry: &Entry| {
            crate::checks::all().iter().position(|check| check.id == entry.check).unwrap_or(usize::MAX)
        };
        self.entries.sort_by_cached_key(|entry| (order(entry), entry.check.clone(), entry.backend.clone()));
        self.entries.dedup_by(|a, b| (&a.check, &a.backend) == (&b.check, &b.backend));
    }

    fn entry(&self, check: &str, backend: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.check == check && entry.backend == backend)
    }

    fn count(&self, backend: &str, level: Level, outcome: Outcome) -> usize {
        let counted = |entry: &&Entry| {
            entry.backend == backend && entry.level == level.as_str() && entry.outcome == outcome
        };
        self.entries.iter().filter(counted).count()
    }
}
