//! Measures the cost of the redactor per byte, for ordinary text and for shapes that are designed to be slow.

use std::{hint::black_box, time::Instant};

use throughline::{
    ErrorKind, NewMessage, PersistError, PersistRequest, Persistence, Phase,
    layers::redact::{RedactLayer, Redactor, Rules},
    memory::MemoryBackend,
    plugin::{NextRequest, from_fn},
};

use crate::{
    Failure,
    figures::{figure, median},
    text::TEXT,
};

/// The number of bytes of each shape.
const BYTES: usize = 256 * 1024;

/// The number of metadata names in one message.
const NAMES: usize = 8000;

/// Ordinary code.
const CODE: &str = include_str!("shapes.rs");

/// Prints `redact.ns_per_byte.SHAPE` for each shape, and the highest as `redact.ns_per_byte`.
/// `redact.first_ns_per_byte` is the cost of the first text, for which the rules are compiled.
pub(crate) async fn measure(rounds: usize) -> Result<(), Failure> {
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
    // For each name, the redactor reads the rest of the line and redacts nothing.
    let line = format!("{}\n", "token=".repeat(83));
    shapes.push(("lines-of-names", line.repeat(BYTES / line.len() + 1)));
    shapes.push(("one-value", format!("password={}", "x1".repeat(BYTES / 2))));
    // Texts that an agent reads, first before a picture and then after it: no text may make later ones slower.
    shapes.insert(0, ("log", log(1)));
    shapes.insert(1, ("code", CODE.repeat(BYTES / CODE.len() + 1)));
    shapes.insert(2, ("picture", picture()));
    shapes.insert(3, ("log-after-picture", log(2)));
    shapes.insert(4, ("code-after-picture", CODE.repeat(BYTES / CODE.len() + 1)));
    let mut worst: f64 = 0.0;
    let cold = Rules::secrets().compile()?;
    let begun = Instant::now();
    black_box(cold.redact(black_box(TEXT)));
    let first = begun.elapsed().as_secs_f64() * 1e9 / TEXT.len() as f64;
    figure("redact.first_ns_per_byte", first, "ns");
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
    let db = redacting()?;
    let thread = db.thread("t");
    for (name, (message, bytes)) in [("metadata-names", metadata_names()?), ("nested-json", nested_json())] {
        let mut took = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let add = thread.add(message.clone());
            let begun = Instant::now();
            let refused = add.await;
            took.push(begun.elapsed().as_secs_f64() * 1e9 / bytes as f64);
            assert!(refused.is_err_and(|error| error.detail() == TAKES_NOTHING));
        }
        let cost = median(&took);
        figure(format_args!("redact.ns_per_byte.{name}"), cost, "ns");
        worst = worst.max(cost);
    }
    figure("redact.ns_per_byte", worst, "ns");
    Ok(())
}

/// Returns log text with a distinct id and address on each line.
fn log(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut log = String::with_capacity(BYTES + 128);
    while log.len() < BYTES {
        let id: String = (0..16).map(|_| random.alphanumeric()).collect();
        let name: String = (0..12).map(|_| random.lowercase()).collect();
        log += &format!("2026-11-23T18:{:02}:31Z INFO req={id} ", random.u8(..60));
        log += &format!("GET https://www.example.com/{name}?id={} took 12 ms\n", random.u16(..));
    }
    log
}

/// Returns random Base64.
fn picture() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = fastrand::Rng::with_seed(3);
    (0..BYTES).map(|_| char::from(LETTERS[random.usize(..64)])).collect()
}

const TAKES_NOTHING: &str = "the store takes nothing";

/// Returns a pipeline with the redact layer over a layer that refuses every call.
fn redacting() -> Result<Persistence, Failure> {
    let refuse = |_: PersistRequest, _: NextRequest| async {
        Err(PersistError::new(ErrorKind::Unavailable, TAKES_NOTHING))
    };
    let nothing = from_fn("nothing", Phase::Route, refuse);
    let stack = Persistence::builder().layer(RedactLayer::secrets()).layer(nothing);
    Ok(stack.backend(MemoryBackend::new()).build()?)
}

/// Returns a message whose metadata names are equal after redaction, and the number of their bytes.
fn metadata_names() -> Result<(NewMessage, usize), Failure> {
    let names = (0..NAMES).map(|n| (format!("password=x{n:05}"), n.into()));
    let metadata = serde_json::Value::Object(names.collect());
    let bytes = metadata.to_string().len();
    Ok((NewMessage::user("x").with_metadata(serde_json::from_value(metadata)?), bytes))
}

/// Returns a message with deeply nested JSON texts, and the number of their bytes.
fn nested_json() -> (NewMessage, usize) {
    let mut text = "password=a1B2c3D4".to_owned();
    while text.len() < BYTES {
        text = serde_json::json!({ "password": text, "ordinary": "text" }).to_string();
    }
    (NewMessage::user(&text), text.len())
}
