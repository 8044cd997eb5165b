//! What a byte costs the redactor, over shapes that are made to be slow, beside ordinary text.

use std::{hint::black_box, time::Instant};

use throughline::layers::redact::Redactor;

use crate::{
    figures::{figure, median},
    text::TEXT,
};

/// So many bytes of each shape.
const BYTES: usize = 256 * 1024;

/// Prints `redact.ns_per_byte.SHAPE` for each, and the worst as `redact.ns_per_byte`.
pub(crate) fn measure(rounds: usize) {
    let redactor = Redactor::secrets();
    let base64 = "cGxhaW4gdGV4dCBpbiBiYXNlIHNpeHR5LWZvdXIs";
    let mut shapes: Vec<(&str, String)> = [
        ("ordinary", TEXT),
        ("secrets", "token=a1B2c3D4e5F6g7H8 "),
        ("no-values", "password=password;"),
        ("names", "token="),
        ("stems", "tokentokentokenpasswordkey"),
        ("quotes", "password=\""),
        ("addresses", "://a:"),
        ("addresses-open", "x://a:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/"),
        ("base64", base64),
        ("base64-letters", "Ag"),
        ("hex", "20746578742c"),
        ("percent", "%41%42"),
        ("percent-words", "abc%20def%2F"),
        ("escapes", "\\u0041"),
        ("jwt", "eyJ"),
        ("keys", "AKIA"),
        ("markers", "[redacted:"),
        ("pem", "-----BEGIN "),
        ("backslashes", "\\"),
        ("dashes", "-token-"),
    ]
    .into_iter()
    .map(|(name, unit)| (name, unit.repeat(BYTES / unit.len() + 1)))
    .collect();
    // Each name reads the rest of its line, and hides nothing.
    let line = format!("{}\n", "token=".repeat(83));
    shapes.push(("lines-of-names", line.repeat(BYTES / line.len() + 1)));
    shapes.push(("one-value", format!("password={}", "x1".repeat(BYTES / 2))));
    let mut worst: f64 = 0.0;
    for (name, text) in &shapes {
        let mut took = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let begun = Instant::now();
            black_box(redactor.redact(black_box(text)));
            took.push(begun.elapsed().as_secs_f64() * 1e9 / text.len() as f64);
        }
        let cost = median(&took);
        figure(format_args!("redact.ns_per_byte.{name}"), cost, "ns");
        worst = worst.max(cost);
    }
    figure("redact.ns_per_byte", worst, "ns");
}
