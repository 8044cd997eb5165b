//! Measures the secrets that are found, and the ordinary text that is mistaken for secrets.
//!
//! The tests generate the secrets when they run: none is in this repository.
#![cfg(feature = "redact")]
#![allow(clippy::print_stdout, reason = "the tests print their figures and the skipped parts")]

mod assignments;
mod custom;
mod fields;
mod formats;
mod ordinary;
mod streams;
mod tools;

use throughline_layers::redact::Redactor;

/// Asserts that one marker replaces the part of each hidden text between `«` and `»`, that a second pass changes
/// nothing, and that the kept texts stay.
fn expect_hidden_exactly(hidden: &[&str], kept: &[&str]) {
    let redactor = Redactor::secrets();
    let mut wrong = Vec::new();
    for text in hidden {
        let (before, rest) = text.split_once('«').unwrap();
        let (secret, after) = rest.split_once('»').unwrap();
        let whole = format!("{before}{secret}{after}");
        let stored = redactor.redact(&whole).map(|(stored, _)| stored).unwrap_or(whole);
        let marker = stored.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        if !marker.is_some_and(|marker| redactor.is_marker(marker)) {
            wrong.push(format!("{text}\n    stored as {stored}"));
        } else if let Some((twice, _)) = redactor.redact(&stored) {
            wrong.push(format!("{text}\n    stored as {stored}\n    and then as {twice}"));
        }
    }
    for text in kept {
        if let Some((stored, _)) = redactor.redact(text) {
            wrong.push(format!("kept: {text}\n    stored as {stored}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), formats::shown(&wrong));
}
