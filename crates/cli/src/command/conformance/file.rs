//! The JSON document that the conformance kit writes with `--report`. The kit itself is no dependency of the program.

use std::{fs::File, io::Read as _, path::Path};

use serde::{Deserialize, Serialize};
use throughline::Durability;

use crate::{Failure, output::line};

/// The newest version of the document that this program reads.
const VERSION: u64 = 1;
/// The most bytes of a report. One backend has about 140 KiB.
const MAX_BYTES: u64 = 64 << 20;

/// The fields by which a report is recognized.
#[derive(Deserialize)]
struct Header {
    throughline: String,
    version: u64,
}

#[derive(Deserialize)]
struct Document {
    backends: Vec<Backend>,
}

/// A backend, and every check of the kit.
#[derive(Debug, Deserialize)]
pub(super) struct Backend {
    pub(super) backend: String,
    pub(super) claims: String,
    pub(super) durability: Durability,
    pub(super) level: String,
    pub(super) refuted: Vec<String>,
    pub(super) remarks: Vec<String>,
    pub(super) checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) scenario: Option<String>,
    pub(super) rule: String,
    pub(super) outcome: Ended,
    pub(super) reason: Option<String>,
    pub(super) failure: Option<Detail>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Ended {
    Pass,
    Fail,
    NotApplicable,
    ExpectedFail,
    NotRun,
}

/// The failure of a check, in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Detail {
    pub(super) expected: String,
    pub(super) actual: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) case: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
}

/// Reads the backends of a report.
///
/// # Errors
/// A usage error for a file that is no report, or one of a newer version.
pub(super) fn read(path: &Path) -> Result<Vec<Backend>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::io(format_args!("`{}` could not be read", path.display()), &error))?;
    parse(&bytes)
        .map_err(|why| {
            Failure::usage(format!(
                "`{}` is no report of the conformance kit: {}",
                path.display(),
                line(&why)
            ))
            .advise(
                "the test program of a backend writes one: `cargo test --test conformance -- --report FILE`",
            )
        })?
        .ok_or_else(|| {
            Failure::usage(format!("`{}` is a report of a newer version", path.display()))
                .advise("install the version of `throughline` that belongs to the conformance kit")
        })
}

/// The backends; `None` for a newer version.
fn parse(bytes: &[u8]) -> Result<Option<Vec<Backend>>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let header: Header = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if header.throughline != "conformance" {
        return Err(format!("its format is `{}`", header.throughline));
    }
    if header.version > VERSION {
        return Ok(None);
    }
    let Document { backends } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if backends.is_empty() {
        return Err("it has no backend".to_owned());
    }
    Ok(Some(backends))
}
