//! Secrets that are known by their context: PEM keys, tokens in headers, passwords in addresses and assignments.

use super::word;
use crate::redact::{
    check,
    rule::{Known, Rule},
    value::Reads,
};

/// From the first line of a private key to its last.
const PRIVATE_KEY: &str = r"(-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----)";

const PLAIN: &[Known] = &[
    Known { name: "age-key", pattern: r"(AGE-SECRET-KEY-1[A-Z0-9]{40})", rest: "A-Z0-9" },
    Known { name: "signed-url", pattern: "X-(?:Amz|Goog)-Signature=([a-fA-F0-9]{32})", rest: "a-fA-F0-9" },
    Known {
        name: "jwt",
        pattern: word!(r"eyJ[A-Za-z0-9_-]{10,512}\.eyJ[A-Za-z0-9_-]{10}"),
        rest: "A-Za-z0-9_.-",
    },
    Known {
        name: "authorization-header",
        pattern: r#"(?i:authorization)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?i:bearer|basic|token|digest|apikey|bot|ssws)\s{1,3}([A-Za-z0-9._~+/=:-]{8})"#,
        rest: "A-Za-z0-9._~+/=:-",
    },
];

const BEARER: &str = r"\b(?i:bearer)\s{1,3}([A-Za-z0-9._~+/=-]{20,200})";

const HEADER: &str = r#"(?i:x-[a-z-]{0,20}(?:key|token|secret)|api-key)\\?["']?\s{0,2}:\s{0,2}\\?["']?([A-Za-z0-9._~+/=-]{16,200})"#;

/// A scheme, a user and a colon; the password follows.
const ADDRESS: &str = r#"://[^\s/:@"'<>\\?#`]{0,64}:"#;

/// The end of a name that may indicate a secret, and its assignment. The whole name is read next, and then the value.
macro_rules! name {
    () => {
        r"(?i:pass(?:w(?:or)?[dt]|phrase|code)?|pw(?:d|ord)?|psk|kennwort|senha|secret|token|key|auth|cred|cookie|jwt|mnemonic|phrase|_pat)"
    };
}

const ASSIGNMENT: &str = concat!(
    name!(),
    r#"[A-Za-z0-9_.-]{0,24}(?:\\{0,7}["'`]|\*\*|[\])]|&quot;|&#3[49];|%22|\\u0022|\\x22){0,3}\s{0,3}(?::=|=>|={1,3}|::?|>|[ ](?:is|was):?[ ])"#
);

const FLAG: &str = concat!("-[A-Za-z0-9_-]{0,24}", name!(), "[A-Za-z0-9_-]{0,16} {1,2}");

/// `curl -u user:password`
const USER: &str = r#"(?:\s-u|--user|--proxy-user)[ =]["']?[^\s:"'/]{1,64}:([^\s"'`]{3,128})"#;

const NETRC: &str = r"\blogin\s{1,4}\S{1,64}\s{1,12}password\s{1,4}(\S{1,128})";

const SSHPASS: &str = r#"\bsshpass\s{1,3}-p\s?["']?([^\s"'`]{3,64})"#;

const MYSQL: &str = r#"\bmysql(?:dump|admin)?\s(?:[^\n|;&]{0,64}\s)?-p["']?([^\s"'`]{4,64})"#;

const REGISTRY: &str =
    r#"\b(?:docker|podman|oras)\s{1,3}login\s(?:[^\n|;&]{0,64}\s)?-p[ =]{1,3}["']?([^\s"'`]{4,64})"#;

const REDIS: &str = r#"\bredis-cli\s(?:[^\n|;&]{0,64}\s)?(?:-a|--pass)[ =]{1,3}["']?([^\s"'`]{4,64})"#;

/// `-passin pass:x`
const OPENSSL: &str = r#"\s-pass(?:in|out)?\s{1,3}["']?pass:([^\s"'`]{3,64})"#;

const HTPASSWD: &str = r#"\bhtpasswd\s{1,3}(?:-[A-Za-z0-9]{1,8}\s{1,3}){0,3}-[A-Za-z]{0,4}b[A-Za-z]{0,4}\s{1,3}\S{1,64}\s{1,3}\S{1,64}\s{1,3}["']?([^\s"'`]{3,64})"#;

/// `CREATE USER … IDENTIFIED BY 'x'`, `ALTER USER … WITH PASSWORD 'x'`
const SQL: &str = r#"\b(?i:identified\s{1,3}by|(?:with|encrypted)\s{1,3}password)\s{1,3}'([^\s']{3,64})"#;

/// Password hashes of Unix and its servers.
const CRYPT: &str = r"(\$(?:2[abxy]\$\d\d\$[A-Za-z0-9./]{53}|[156y]\$[A-Za-z0-9./$=,]{20,128}|apr1\$[A-Za-z0-9./]{1,8}\$[A-Za-z0-9./]{22}|argon2(?:id|i|d)\$v=\d{1,3}\$m=\d{1,9},t=\d{1,4},p=\d{1,3}\$[A-Za-z0-9+/]{8,64}\$[A-Za-z0-9+/]{16,128})|\{S?SHA(?:256|384|512)?\}[A-Za-z0-9+/]{24,120}={0,2})";

pub(super) fn rules() -> impl Iterator<Item = Rule> {
    let plain = PLAIN.iter().map(Rule::known);
    let checked = [
        Rule::checked("bearer-token", BEARER, "A-Za-z0-9._~+/=-", check::has_digit),
        Rule::checked("api-key-header", HEADER, "A-Za-z0-9._~+/=-", check::has_digit),
        Rule::checked("command-password", USER, "", check::is_no_placeholder),
        Rule::checked("command-password", NETRC, "", check::is_no_placeholder),
        Rule::checked("command-password", SSHPASS, "", check::is_no_placeholder),
        Rule::checked("command-password", MYSQL, "", check::is_no_placeholder),
        Rule::checked("command-password", REGISTRY, "", check::is_no_placeholder),
        Rule::checked("command-password", REDIS, "", check::is_no_placeholder),
        Rule::checked("command-password", OPENSSL, "", check::is_no_placeholder),
        Rule::checked("command-password", HTPASSWD, "", check::is_no_placeholder),
        Rule::checked("command-password", SQL, "", check::is_no_placeholder),
        Rule::known(&Known { name: "password-hash", pattern: CRYPT, rest: "A-Za-z0-9./$" }),
        Rule::read("url-password", ADDRESS, Reads::Address),
        Rule::read("assignment", FLAG, Reads::Assignment),
        Rule::read("assignment", ASSIGNMENT, Reads::Assignment),
    ];
    std::iter::once(Rule::block("private-key", PRIVATE_KEY)).chain(plain).chain(checked)
}
