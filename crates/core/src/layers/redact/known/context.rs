//! Secrets that are known by what stands around them: keys in PEM, tokens in headers, passwords in addresses and
//! assignments.

use super::word;
use crate::layers::redact::{
    check,
    rule::{Known, Rule},
};

/// Everything from the line that begins a private key to the one that ends it.
const PRIVATE_KEY: &str = r"(-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----)";

const PLAIN: &[Known] = &[
    Known { name: "age-key", pattern: r"(AGE-SECRET-KEY-1[A-Z0-9]{40})", rest: "A-Z0-9" },
    Known {
        name: "jwt",
        pattern: word!(r"eyJ[A-Za-z0-9_-]{10,512}\.eyJ[A-Za-z0-9_-]{10}"),
        rest: "A-Za-z0-9_.-",
    },
    Known {
        name: "authorization-header",
        pattern: r#"(?i:authorization)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?i:bearer|basic|token|digest|apikey)\s{1,3}([A-Za-z0-9._~+/=-]{8})"#,
        rest: "A-Za-z0-9._~+/=-",
    },
];

const BEARER: &str = r"\b(?i:bearer)\s{1,3}([A-Za-z0-9._~+/=-]{20,200})";

const HEADER: &str = r#"(?i:x-[a-z-]{0,20}(?:key|token|secret)|api-key)\\?["']?\s{0,2}:\s{0,2}\\?["']?([A-Za-z0-9._~+/=-]{16,200})"#;

const URL_PASSWORD: &str = r#"://[^\s/:@"'<>\\?#]{0,64}:([^\s/@"'<>\\?#]{1,128})@"#;

/// What is called a secret and given a value: in quotes, without them up to what ends a value, or longer than any.
macro_rules! assignment {
    ($value:literal) => {
        concat!(
            r#"(?i:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|(?:api|access|private|encryption|signing|auth)[_-]?key|token)\\?["']?\s{0,3}(?::=|=>|[:=])\s{0,3}"#,
            $value
        )
    };
}

const QUOTED: &str = assignment!(r#"\\?["']([^"'\\\s]{6,128})\\?["']"#);

const UNQUOTED: &str = assignment!(
    r#"(?:([A-Za-z0-9!#%&*+./?@^_~|-]{6,127})(?:[\s,;"'`)\]}<\\]|\z)|([A-Za-z0-9!#%&*+./?@^_~|-]{128}))"#
);

/// The value is a marker already, which has no place in the classes above.
const VALUE: &str = "A-Za-z0-9!#%&*+./?@^_~|-";

pub(super) fn rules() -> impl Iterator<Item = Rule> {
    let plain = PLAIN.iter().map(Rule::known);
    let checked = [
        Rule::checked("bearer-token", BEARER, "A-Za-z0-9._~+/=-", check::has_digit),
        Rule::checked("api-key-header", HEADER, "A-Za-z0-9._~+/=-", check::has_digit),
        Rule::checked("url-password", URL_PASSWORD, "", check::is_no_placeholder),
        Rule::checked("assignment", QUOTED, "", check::is_no_placeholder),
        Rule::checked("assignment", UNQUOTED, VALUE, check::looks_made_up),
    ];
    std::iter::once(Rule::block("private-key", PRIVATE_KEY)).chain(plain).chain(checked)
}
