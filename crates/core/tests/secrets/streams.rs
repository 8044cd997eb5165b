//! Content that is written in parts is stored as the redacted whole.

use throughline_core::layers::redact::Redactor;

use crate::formats::{base64, escapes, hex, percent, secrets};

#[test]
fn tails_are_bounded() {
    let redactor = Redactor::secrets();
    assert!(redactor.longest_tail() <= 2048, "{}", redactor.longest_tail());
    for (_, secret) in secrets() {
        for text in [base64(&secret), hex(&secret), percent(&secret), escapes(&secret)] {
            assert!(redactor.redact(&text).is_some(), "{text}");
        }
    }
}
