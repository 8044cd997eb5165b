//! Decides whether the name of a field, variable, header or flag indicates a secret.
//!
//! A name is read by its parts: `aws-secret_accessKey` is `aws`, `secret`, `access`, `key`. The last part decides, with
//! the one before it if it is ambiguous: `api_key` names a secret, `sort_key` does not.

/// The strength with which a name indicates a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// The value may be something else: `token`, `api_key`. It must look like a credential.
    Likely,
    /// The value is always a secret: `password`, `client_secret`.
    Certain,
}

/// The longest suffix of a name that is read.
pub(super) const MAX_NAME: usize = 64;

/// The most parts at the end of a name that are read.
const MAX_PARTS: usize = 8;

/// Words after the deciding word that change nothing: `password_confirmation`, `SECRET_KEY_BASE`.
const NEUTRAL: &[&str] = &[
    "value",
    "val",
    "base",
    "plain",
    "plaintext",
    "raw",
    "string",
    "str",
    "b64",
    "base64",
    "new",
    "old",
    "confirm",
    "confirmation",
    "repeat",
    "again",
    "current",
    "previous",
    "prev",
    "prod",
    "production",
    "staging",
    "dev",
    "test",
    "live",
    "data",
    "pem",
    "primary",
    "secondary",
    "hash",
];

/// Words that are a secret by themselves, also at the end of a longer word: `PGPASSWORD`.
const CERTAIN_ENDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "privatekey",
    "secretkey",
    "clientsecret",
    "presharedkey",
];

/// Words that are a secret by themselves as a whole part.
const CERTAIN: &[&str] = &[
    "passwords",
    "pwd",
    "pword",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "creds",
    "authorization",
    "mnemonic",
    "otp",
    "cvv",
    "cvc",
    "senha",
    "psk",
    "contraseña",
    "contrasena",
];

/// Words that are likely a secret, also at the end of a longer word: `xapikey`.
const LIKELY_ENDS: &[&str] =
    &["apikey", "accesskey", "authtoken", "accesstoken", "refreshtoken", "apitoken", "bearertoken"];

/// Words that are likely a secret as a whole part.
const LIKELY: &[&str] = &["jwt", "bearer", "auth", "cookie"];

/// Words before `key` that make it certain.
const CERTAIN_KEYS: &[&str] =
    &["private", "secret", "encryption", "decryption", "signing", "master", "hmac", "preshared"];

/// Words before `key` that make it likely.
const LIKELY_KEYS: &[&str] = &[
    "api",
    "access",
    "auth",
    "account",
    "storage",
    "service",
    "ssh",
    "gpg",
    "pgp",
    "deploy",
    "shared",
    "symmetric",
    "jwt",
    "webhook",
    "subscription",
    "consumer",
    "admin",
    "app",
    "application",
    "license",
    "cipher",
    "crypto",
    "aes",
    "rsa",
    "client",
    "integration",
    "live",
    "project",
];

/// Words before `pass` or `pw` that make it certain: alone, it means a pass through data.
const PASS_OF: &[&str] = &[
    "db",
    "database",
    "smtp",
    "user",
    "mysql",
    "pg",
    "postgres",
    "admin",
    "root",
    "ftp",
    "mail",
    "email",
    "redis",
    "mongo",
    "proxy",
    "auth",
    "login",
    "ssh",
    "wifi",
    "api",
    "my",
    "service",
    "app",
    "rabbitmq",
    "imap",
    "ldap",
    "sudo",
    "keystore",
    "cert",
    "vault",
    "http",
    "basic",
    "zip",
    "become",
    "default",
    "store",
    "key",
    "trust",
    "bind",
    "connection",
];

/// Words before `token` that mean something else: a position in a list, a count, a unit of text or code.
const TOKENS_THAT_ARE_NOT: &[&str] = &[
    "next",
    "page",
    "continuation",
    "continue",
    "cursor",
    "sync",
    "pagination",
    "resume",
    "max",
    "min",
    "total",
    "num",
    "eos",
    "bos",
    "pad",
    "unk",
    "stop",
    "mask",
    "cls",
    "sep",
    "special",
    "first",
    "last",
    "input",
    "output",
    "prompt",
    "completion",
    "cached",
    "cache",
    "reasoning",
    "cancellation",
    "cancel",
    "end",
    "start",
    "begin",
    "prev",
    "previous",
    "current",
    "syntax",
    "parse",
    "lex",
    "design",
    "unexpected",
    "expected",
    "invalid",
    "text",
    "audio",
    "image",
    "this",
    "mint",
    "open",
    "close",
    "comment",
    "string",
    "template",
    "left",
    "right",
    "new",
    "used",
];

/// Words before `pat` (personal access token).
const PAT_OF: &[&str] = &["github", "gitlab", "gh", "gl", "azure", "devops", "ado", "git", "personal"];

/// Returns the strength with which the name indicates a secret.
pub(super) fn secret_name(name: &[u8]) -> Option<Strength> {
    let name = &name[name.len().saturating_sub(MAX_NAME)..];
    let (mut parts, mut count) = ([&name[..0]; MAX_PARTS], 0);
    // From the end, because the last parts decide.
    let mut end = name.len();
    while end > 0 && count < MAX_PARTS {
        let start = part_start(name, end);
        let part = without_number(&name[start..end]);
        if !part.is_empty() {
            parts[count] = part;
            count += 1;
        }
        end = start;
        while end > 0 && !is_word(name[end - 1]) {
            end -= 1;
        }
    }
    let parts = &parts[..count];
    let neutral = parts.iter().take_while(|part| is_one_of(part, NEUTRAL)).count();
    let (head, rest) = parts.get(neutral..)?.split_first()?;
    let before = |words: &[&str]| rest.first().is_some_and(|before| is_one_of(before, words));
    if is_one_of(head, CERTAIN) || CERTAIN_ENDS.iter().any(|word| ends_with(head, word)) {
        return Some(Strength::Certain);
    }
    if is_one_of(head, &["pass", "pw"]) {
        return before(PASS_OF).then_some(Strength::Certain);
    }
    // `userpass`, `bindpw`
    if ["pass", "pw"]
        .iter()
        .any(|end| ends_with(head, end) && is_one_of(&head[..head.len() - end.len()], PASS_OF))
    {
        return Some(Strength::Certain);
    }
    if is_one_of(head, &["phrase", "code", "codes", "words"]) {
        return before(&["seed", "recovery", "backup", "mnemonic"]).then_some(Strength::Certain);
    }
    if is_one_of(head, &["pin"]) {
        return before(&["card", "user", "security", "sim"]).then_some(Strength::Certain);
    }
    if is_one_of(head, &["key", "keys"]) {
        // `secret_access_key`
        let is_secret = rest.get(1).is_some_and(|second| is_one_of(second, &["secret"]));
        return if before(CERTAIN_KEYS) || is_secret && before(&["access"]) {
            Some(Strength::Certain)
        } else {
            before(LIKELY_KEYS).then_some(Strength::Likely)
        };
    }
    if is_one_of(head, &["token", "tokens"]) {
        return (!before(TOKENS_THAT_ARE_NOT)).then_some(Strength::Likely);
    }
    if is_one_of(head, &["pat"]) {
        return before(PAT_OF).then_some(Strength::Likely);
    }
    let is_likely = is_one_of(head, LIKELY) || LIKELY_ENDS.iter().any(|word| ends_with(head, word));
    is_likely.then_some(Strength::Likely)
}

/// Returns the strength for a member of structured content, where `pass` is no pass through data.
pub(super) fn field_name(name: &[u8]) -> Option<Strength> {
    secret_name(name).or(is_one_of(name, &["pass", "pw", "cookies"]).then_some(Strength::Likely))
}

/// Returns true if the text begins with a certain name of a secret; the kind of element may follow, as in `Password
/// textbox`.
pub(super) fn names_certainly(text: &[u8]) -> bool {
    let is_end = |at: &usize| is_word(text[*at - 1]) && text.get(*at).is_none_or(|next| !is_word(*next));
    (1..=text.len()).filter(is_end).any(|end| secret_name(&text[..end]) == Some(Strength::Certain))
}

/// Returns the start of the part that ends at `end`. A part begins after a character that is no letter or digit, at a
/// capital after a small letter, and at a capitalized word after capitals.
fn part_start(name: &[u8], end: usize) -> usize {
    let mut start = end;
    while start > 0 && is_word(name[start - 1]) {
        start -= 1;
        if start > 0 && name[start].is_ascii_uppercase() {
            let before = name[start - 1];
            let begins_word =
                before.is_ascii_uppercase() && name[..end].get(start + 1).is_some_and(u8::is_ascii_lowercase);
            if before.is_ascii_lowercase() || before.is_ascii_digit() || begins_word {
                break;
            }
        }
    }
    start
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 128
}

/// `password2` is a password.
fn without_number(part: &[u8]) -> &[u8] {
    // `b64` and `base64` are words of their own.
    if is_one_of(part, &["b64", "base64"]) {
        return part;
    }
    let digits = part.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    &part[..part.len() - digits]
}

fn is_one_of(part: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes()))
}

fn ends_with(part: &[u8], word: &str) -> bool {
    part.len() >= word.len() && part[part.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_their_parts_and_case() {
        for name in [
            "password",
            "new_password",
            "newPassword",
            "DB_PASSWORD",
            "PGPASSWORD",
            "password2",
            "password_confirmation",
            "user.password",
            "SECRET_KEY_BASE",
            "aws-secret_accessKey",
            "AWS_SECRET_ACCESS_KEY",
            "client-secret",
            "secret",
            "credentials",
            "Authorization",
            "Proxy-Authorization",
            "db_pass",
            "privateKey",
            "encryption_key",
            "otp",
            "recovery_codes",
            "passwordHash",
            "sshPrivateKey",
            "userpass",
            "bindpw",
            "ansible_become_pass",
            "PresharedKey",
            "psk",
        ] {
            assert_eq!(secret_name(name.as_bytes()), Some(Strength::Certain), "{name}");
        }
        for name in [
            "token",
            "X-Api-Key",
            "x-api-key",
            "apiKey",
            "APIKey",
            "api_key_2",
            "access_token",
            "csrfToken",
            "GITHUB_PAT",
            "_auth",
            "sessionToken",
            "authTokens",
            "Cookie",
            "Set-Cookie",
        ] {
            assert_eq!(secret_name(name.as_bytes()), Some(Strength::Likely), "{name}");
        }
    }

    #[test]
    fn names_of_something_else_are_left_alone() {
        for name in [
            "max_tokens",
            "token_count",
            "next_page_token",
            "nextPageToken",
            "input_tokens",
            "tokenizer",
            "key",
            "sort_key",
            "public_key",
            "primaryKey",
            "password_file",
            "passwordField",
            "secretName",
            "secret_arn",
            "access_key_id",
            "pass",
            "first_pass",
            "bypass",
            "compass",
            "monkey",
            "keyboard",
            "author",
            "passed",
            "secretary",
            "",
            "_",
            "42",
            "cache_key",
            "pin",
            "code",
            "tokens_used",
            "path",
            "pattern",
            "authority",
            "is_secret_set",
        ] {
            assert_eq!(secret_name(name.as_bytes()), None, "{name}");
        }
    }
}
