//! `conformance report`: the report of a backend, from the file that its test program writes.

use std::{fs, path::Path};

use serde_json::{Value, json};
use throughline::Durability;
use throughline_conformance::report::{Column, Entry, Outcome, Report};

use crate::kit::{Ran, run};

fn entry(check: &str, outcome: Outcome, detail: Option<&str>) -> Entry {
    let of_kit = throughline_conformance::checks().iter().find(|of_kit| of_kit.id() == check).unwrap();
    Entry {
        backend: "redb".to_owned(),
        check: check.to_owned(),
        scenario: of_kit.scenario().map(str::to_owned),
        about: of_kit.about().to_owned(),
        level: of_kit.level().to_string(),
        outcome,
        detail: detail.map(str::to_owned),
        millis: 1,
    }
}

/// The report of a backend that fails two checks, one of them as its profile expects.
fn failed() -> Report {
    let unequal = "src/a.rs:7: assertion `left == right` failed\n  left: \"a\"\n right: \"ab\"";
    let column = Column {
        backend: "redb".to_owned(),
        claims: "survives power loss, changes, only add reserve updateContent update delete batch".to_owned(),
        durability: Durability::PowerLoss,
        remarks: vec!["tested on one machine".to_owned()],
    };
    let entries = vec![
        entry("messages.every_role_is_kept", Outcome::Pass, None),
        entry("messages.appends_are_concatenated", Outcome::Fail, Some(unequal)),
        entry("search.hit_shows_role_and_time", Outcome::NotApplicable, Some("search is not claimed")),
        entry(
            "durability.acknowledged_writes_survive_a_crash",
            Outcome::ExpectedFail,
            Some("no fsync: 2 are lost"),
        ),
    ];
    Report { columns: vec![column], entries }
}

/// A report as the file of a short kit, which has only the checks that ran or do not apply.
fn short(report: &Report) -> Value {
    let mut document: Value = serde_json::from_str(&report.to_json()).unwrap();
    let checks = document["backends"][0]["checks"].as_array_mut().unwrap();
    checks.retain(|check| check["outcome"] != "notRun");
    document
}

fn written(folder: &Path, document: &Value) -> String {
    let path = folder.join("report.json");
    fs::write(&path, document.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn show(arguments: &[&str]) -> Ran {
    run(&[&["conformance", "report"], arguments].concat())
}

#[test]
fn a_report_with_failures_is_a_table_with_the_rule_of_each_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), &short(&failed()));
    let ran = show(&[&file]);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    assert_eq!(
        ran.out,
        "\
redb does not keep every claim: 1 check failed, and
`durability.acknowledged_writes_survive_a_crash` refutes that it survives power
loss.
claims  survives power loss, changes, only add reserve updateContent update
        delete batch
level   none: a core check failed, does not apply, or was not run
remark  tested on one machine

PASSED  FAILED  NOT CLAIMED  EXPECTED TO FAIL  CHECKS
     1       1            0                 0  messages
     0       0            1                 0  search
     0       0            0                 1  durability
     1       1            1                 1  all

1 check does not apply: search is not claimed (1).

failed messages.appends_are_concatenated (VL-S12)
  rule      the content after a thousand appends is their concatenation, and a
            reader sees only prefixes
  expected  \"ab\"
  actual    \"a\"
  at        src/a.rs:7

failed as expected durability.acknowledged_writes_survive_a_crash
  rule      after a crash every acknowledged message is whole, and at most the
            call in flight is added
  expected  the rule holds
  actual    no fsync: 2 are lost
"
    );
}

#[test]
fn a_report_is_written_as_markdown_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), &short(&failed()));
    let markdown = show(&[&file, "--format", "markdown"]);
    assert_eq!(markdown.code, 3);
    assert_eq!(
        markdown.out,
        "\
# redb does not keep every claim: 1 check failed, and `durability.acknowledged_writes_survive_a_crash` refutes that it survives power loss

- claims: survives power loss, changes, only add reserve updateContent update delete batch
- level: none: a core check failed, does not apply, or was not run
- tested on one machine

| checks | passed | failed | not claimed | expected to fail | not run |
|---|---:|---:|---:|---:|---:|
| messages | 1 | 1 | 0 | 0 | 0 |
| search | 0 | 0 | 1 | 0 | 0 |
| durability | 0 | 0 | 0 | 1 | 0 |
| all | 1 | 1 | 1 | 1 | 0 |

1 check does not apply: search is not claimed (1).

## Failures

- `messages.appends_are_concatenated (VL-S12)`
  - rule: the content after a thousand appends is their concatenation, and a reader sees only prefixes
  - expected: \"ab\"
  - actual: \"a\"
  - at: src/a.rs:7

## Expected failures

- `durability.acknowledged_writes_survive_a_crash`
  - rule: after a crash every acknowledged message is whole, and at most the call in flight is added
  - expected: the rule holds
  - actual: no fsync: 2 are lost
"
    );
    let ran = show(&[&file, "--json"]);
    assert_eq!(ran.code, 3);
    let family = |family: &str, passed: u64, failed: u64, not_claimed: u64, expected: u64| {
        json!({
            "family": family, "passed": passed, "failed": failed, "notClaimed": not_claimed,
            "expectedToFail": expected, "notRun": 0
        })
    };
    assert_eq!(
        ran.json(),
        json!({
            "version": 1,
            "command": "conformance report",
            "keepsClaims": false,
            "backends": [{
                "backend": "redb",
                "keepsClaims": false,
                "claims": "survives power loss, changes, only add reserve updateContent update delete batch",
                "durability": "powerLoss",
                "refuted": ["durability.acknowledged_writes_survive_a_crash"],
                "level": "none",
                "remarks": ["tested on one machine"],
                "total": family("all", 1, 1, 1, 1),
                "families": [
                    family("messages", 1, 1, 0, 0), family("search", 0, 0, 1, 0), family("durability", 0, 0, 0, 1)
                ],
                "failures": [{
                    "check": "messages.appends_are_concatenated",
                    "scenario": "VL-S12",
                    "rule": "the content after a thousand appends is their concatenation, and a reader sees only prefixes",
                    "expected": "\"ab\"",
                    "actual": "\"a\"",
                    "location": "src/a.rs:7"
                }],
                "expectedFailures": [{
                    "check": "durability.acknowledged_writes_survive_a_crash",
                    "rule": "after a crash every acknowledged message is whole, and at most the call in flight is added",
                    "expected": "the rule holds",
                    "actual": "no fsync: 2 are lost"
                }],
                "notClaimed": [{ "reason": "search is not claimed", "checks": 1 }]
            }]
        })
    );
    assert_eq!(show(&[&file, "--format", "json"]).out, ran.out);
}

#[test]
fn a_report_without_failures_is_no_finding_and_says_what_was_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = failed();
    report.entries.retain(|entry| !matches!(entry.outcome, Outcome::Fail | Outcome::ExpectedFail));
    let file = written(folder.path(), &short(&report));
    let ran = show(&[&file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.out.lines().next(), Some("redb keeps every claim."));

    // The whole kit, of which one check ran.
    let file = written(folder.path(), &serde_json::from_str(&report.to_json()).unwrap());
    let ran = show(&[&file]);
    let left = throughline_conformance::checks().len() - 2;
    let expected = format!("redb keeps every checked claim; {left} checks were not run.");
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some(expected.as_str())));

    let both = show(&[&file, &file, "--json"]).json();
    assert_eq!(both["backends"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_is_no_report_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for (document, text) in [
        (json!([]), "is no report of the conformance kit"),
        (json!({ "throughline": "ndjson", "version": 1 }), "its format is `ndjson`"),
        (json!({ "throughline": "conformance", "version": 1 }), "missing field `backends`"),
        (json!({ "throughline": "conformance", "version": 1, "backends": [] }), "it has no backend"),
        (
            json!({ "throughline": "conformance", "version": 2, "columns": [] }),
            "is a report of a newer version",
        ),
    ] {
        let file = written(folder.path(), &document);
        let ran = show(&[&file]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{document}: {ran:?}");
        assert!(ran.err.contains(text) && ran.err.contains("help: "), "{document}: {ran:?}");
    }
    let missing = show(&[folder.path().join("missing.json").to_str().unwrap()]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert_eq!(show(&[]).code, 2);
}
