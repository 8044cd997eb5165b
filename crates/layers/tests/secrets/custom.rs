//! Rules of a host in addition to the known ones.

use throughline_layers::redact::{Redactor, Rules};

use crate::formats::{base64, escapes, hex, percent};

#[test]
fn encoded_secrets_are_found_where_random_text_is_hidden() {
    for redactor in [Redactor::secrets(), Rules::secrets().entropy(4.5).compile().unwrap()] {
        for write in [base64, hex, percent, escapes] {
            let text = format!("see {} there", write("password=hunter2"));
            let (stored, found) = redactor.redact(&text).unwrap_or_else(|| panic!("not found: {text}"));
            assert!(!stored.contains(&write("hunter2")[..8]), "{stored}");
            assert_eq!(found.total(), 1, "{stored}");
        }
    }
}

#[test]
fn a_pattern_whose_group_is_empty_ends() {
    let redactor = Rules::none().pattern("x", r"(\d{0,4})-secret").compile().unwrap();
    assert_eq!(redactor.redact("a -secret -secret"), None);
    let (stored, _) = redactor.redact("a -secret 12-secret").unwrap();
    assert!(stored.starts_with("a -secret [redacted:x#") && stored.ends_with("]-secret"), "{stored}");
}
