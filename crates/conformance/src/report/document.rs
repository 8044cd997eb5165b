//! The report as a JSON document, which the command `throughline conformance report` reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use throughline_core::Durability;

use super::{Column, Entry, Outcome, Report, failure::Failure};
use crate::Check;

/// The version of the document. It increases when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// The name of the format.
const FORMAT: &str = "conformance";

/// A report with everything that a reader needs to know: it does not need the kit.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    throughline: &'static str,
    version: u32,
    headline: String,
    backends: Vec<OfBackend<'a>>,
}

/// A backend: its claims, and every check of the kit.
#[derive(Serialize)]
struct OfBackend<'a> {
    backend: &'a str,
    claims: &'a str,
    durability: Durability,
    level: &'static str,
    /// The checks that refute the claimed durability, whether their failure is expected or not.
    refuted: Vec<&'static str>,
    remarks: &'a [String],
    checks: Vec<OfCheck<'a>>,
}

#[derive(Serialize)]
struct OfCheck<'a> {
    check: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<&'a str>,
    rule: &'a str,
    level: &'a str,
    outcome: Ended,
    /// The reason why the check does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<u64>,
}

/// The outcome of a check, or that the arguments did not select it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Ended {
    NotRun,
    #[serde(untagged)]
    Ran(Outcome),
}

impl<'a> Document<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        Self {
            throughline: FORMAT,
            version: VERSION,
            headline: report.headline(),
            backends: report.columns.iter().map(|column| OfBackend::of(report, column)).collect(),
        }
    }
}

impl<'a> OfBackend<'a> {
    fn of(report: &'a Report, column: &'a Column) -> Self {
        let Column { backend, claims, durability, remarks } = column;
        let of_kit = crate::checks::all().iter().map(|check| match report.entry(check.id, backend) {
            Some(entry) => OfCheck::ran(entry),
            None => OfCheck::not_run(check),
        });
        // The failures of the profile itself.
        let is_of_kit = |entry: &Entry| crate::checks::all().iter().any(|check| check.id == entry.check);
        let others = report.entries.iter().filter(|entry| entry.backend == *backend && !is_of_kit(entry));
        Self {
            backend,
            claims,
            durability: *durability,
            level: report.level(backend),
            refuted: report.broken_durability(column),
            remarks,
            checks: of_kit.chain(others.map(OfCheck::ran)).collect(),
        }
    }
}

impl<'a> OfCheck<'a> {
    fn ran(entry: &'a Entry) -> Self {
        let Entry { backend: _, check, scenario, about, level, outcome, detail, millis } = entry;
        let detail = detail.as_deref();
        let (reason, failure) = match outcome {
            Outcome::Pass => (None, None),
            Outcome::NotApplicable => (detail, None),
            Outcome::Fail | Outcome::ExpectedFail => (None, detail.map(Failure::parse)),
        };
        Self {
            check,
            scenario: scenario.as_deref(),
            rule: about,
            level,
            outcome: Ended::Ran(*outcome),
            reason,
            failure,
            millis: (*outcome != Outcome::NotApplicable).then_some(*millis),
        }
    }

    const fn not_run(check: &'a Check) -> Self {
        Self {
            check: check.id,
            scenario: check.scenario,
            rule: check.about,
            level: check.level.as_str(),
            outcome: Ended::NotRun,
            reason: None,
            failure: None,
            millis: None,
        }
    }
}

/// The file of `--report`.
#[derive(Debug, Clone)]
pub(crate) struct ReportFile(PathBuf);

impl ReportFile {
    /// Removes an earlier report, so that it does not pass for the one of a run that ends too early.
    pub(crate) fn begin(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self(path)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, report: &Report) -> io::Result<()> {
        fs::write(&self.0, report.to_json() + "\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use throughline_core::Capabilities;

    use super::*;
    use crate::Profile;

    fn check(id: &str) -> &'static Check {
        crate::checks::all().iter().find(|check| check.id == id).expect("a known check")
    }

    #[test]
    fn the_document_has_every_check_of_the_kit_with_its_outcome() {
        let profile = Profile::new("b").remark("tested twice");
        let claims = Capabilities::full(Durability::Process);
        let failure = "src/a.rs:7: assertion `left == right` failed\n  left: 1\n right: 2";
        let mut passed = Entry::of("b", check("messages.every_role_is_kept"), Outcome::Pass, None);
        passed.millis = 7;
        let lost = check("durability.acknowledged_writes_survive_a_crash");
        let entries = vec![
            passed,
            Entry::of("b", check("messages.appends_are_concatenated"), Outcome::Fail, Some(failure.into())),
            Entry::of(
                "b",
                check("search.hit_shows_role_and_time"),
                Outcome::NotApplicable,
                Some("no".into()),
            ),
            Entry::of("b", lost, Outcome::ExpectedFail, Some("issue 17: lost".into())),
            Entry::of_profile("b", "messages.unknown", "there is no such check".into()),
        ];
        let report = Report { columns: vec![Column::of(&profile, &claims)], entries };
        let document: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(document["throughline"], "conformance");
        assert_eq!(document["version"], 1);
        assert_eq!(document["headline"], report.headline());
        let backend = &document["backends"][0];
        assert_eq!(backend["backend"], "b");
        assert_eq!(backend["claims"], claims.to_string());
        assert_eq!((&backend["durability"], &backend["level"]), (&json!("process"), &json!("none")));
        assert_eq!(backend["refuted"], json!([lost.id]));
        assert_eq!(backend["remarks"], json!(["tested twice"]));
        let checks = backend["checks"].as_array().unwrap();
        assert_eq!(checks.len(), crate::checks::all().len() + 1);
        let of = |id: &str| checks.iter().find(|of| of["check"] == id).unwrap().clone();
        let rule = |id: &str| check(id).about;
        assert_eq!(
            of("messages.every_role_is_kept"),
            json!({
                "check": "messages.every_role_is_kept", "rule": rule("messages.every_role_is_kept"), "level": "core",
                "outcome": "pass", "millis": 7
            })
        );
        assert_eq!(
            of("messages.appends_are_concatenated"),
            json!({
                "check": "messages.appends_are_concatenated", "scenario": "VL-S12",
                "rule": rule("messages.appends_are_concatenated"), "level": "core", "outcome": "fail",
                "failure": { "expected": "2", "actual": "1", "location": "src/a.rs:7" }, "millis": 0
            })
        );
        assert_eq!(
            of("search.hit_shows_role_and_time"),
            json!({
                "check": "search.hit_shows_role_and_time", "rule": rule("search.hit_shows_role_and_time"),
                "level": "extended", "outcome": "notApplicable", "reason": "no"
            })
        );
        assert_eq!(of(lost.id)["outcome"], "expectedFail");
        assert_eq!(of("messages.deleted_id_cannot_be_reused")["outcome"], "notRun");
        assert_eq!(of("messages.deleted_id_cannot_be_reused")["millis"], Value::Null);
        assert_eq!(
            of("profile.messages.unknown"),
            json!({
                "check": "profile.messages.unknown", "rule": "each expected failure of the profile is a check of the kit",
                "level": "profile", "outcome": "fail",
                "failure": { "expected": "the rule holds", "actual": "there is no such check" }, "millis": 0
            })
        );
    }

    #[test]
    fn an_earlier_report_is_removed_before_the_checks_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "of an earlier run").unwrap();
        let file = ReportFile::begin(path.clone()).unwrap();
        assert!(!path.exists());
        file.write(&Report::default()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), Report::default().to_json() + "\n");
        assert!(ReportFile::begin(folder.path().to_owned()).is_err(), "a folder is no file");
    }
}
