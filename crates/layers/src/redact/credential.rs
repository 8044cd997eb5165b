//! Decides whether a value looks like a credential, and not like a word, a sentence, a reference or code.

use super::{
    check,
    secret_name::Strength,
    value::{Joint, Names},
};

/// Words of sentences and labels, which a passphrase is unlikely to contain.
const OF_SENTENCES: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "token",
    "key",
    "enter",
    "your",
    "please",
    "invalid",
    "required",
    "must",
    "the",
    "a",
    "an",
    "is",
    "for",
    "to",
    "of",
    "not",
    "this",
    "with",
    "and",
    "or",
    "in",
    "if",
    "are",
    "you",
    "no",
    "on",
    "has",
    "cannot",
    "could",
    "was",
    "be",
    "from",
    "new",
    "old",
    "current",
    "confirm",
    "forgot",
    "show",
    "hide",
    "wrong",
    "missing",
    "expected",
];

pub(super) fn is_secret_in_quotes(value: &[u8], strength: Strength, is_cookie: bool) -> bool {
    if value.len() < 4 || !check::is_no_placeholder(value) || is_reference(value) {
        return false;
    }
    if is_cookie {
        return is_secret_cookie(value);
    }
    let has_blank = value.iter().any(u8::is_ascii_whitespace);
    match strength {
        Strength::Certain if has_blank => {
            let is_of_sentence = |word: &[u8]| {
                let word = word.trim_ascii_end();
                let word = word.strip_suffix(b".").or(word.strip_suffix(b":")).unwrap_or(word);
                OF_SENTENCES.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
            };
            !value.split(u8::is_ascii_whitespace).any(is_of_sentence)
                && !value.iter().any(|byte| matches!(byte, b'{' | b'<' | b'('))
                && !value.ends_with(b":")
        }
        Strength::Certain => !is_name_of_it(value),
        Strength::Likely if has_blank => is_scheme_and_value(value),
        Strength::Likely => value.len() >= 8 && looks_random(value) && !is_word_with_number(value),
    }
}

/// Returns true for `name=value` with a random value.
pub(super) fn is_secret_cookie(value: &[u8]) -> bool {
    let name = value.iter().take_while(|byte| is_word_byte(**byte) || matches!(byte, b'-' | b'.')).count();
    name > 0 && value.get(name) == Some(&b'=') && value.len() >= name + 5 && check::has_digit(&value[name..])
}

/// Returns true if the value of a field named token or key is a credential. With an object in between, the criteria are
/// stricter.
pub(super) fn is_likely_secret(value: &[u8], is_deep: bool) -> bool {
    if value.contains(&b' ') {
        return is_scheme_and_value(value);
    }
    if value.len() < 6 || !check::is_no_placeholder(value) || is_reference(value) || is_address(value) {
        return false;
    }
    if is_deep {
        return value.len() >= 12 && looks_random(value) && !is_word_with_number(value);
    }
    let has_secret_character =
        value.iter().any(|byte| !is_word_byte(*byte) && !matches!(byte, b'.' | b'/' | b'-' | b':'));
    check::has_digit(value) || value.len() >= 16 && !is_name_of_it(value) || has_secret_character
}

/// `Bearer abc123`
fn is_scheme_and_value(value: &[u8]) -> bool {
    let mut words = value.split(u8::is_ascii_whitespace);
    let (scheme, rest, more) = (words.next(), words.next(), words.next());
    let is_scheme = scheme.is_some_and(|scheme| {
        ["bearer", "basic", "token", "apikey"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    });
    is_scheme && more.is_none() && rest.is_some_and(|rest| rest.len() >= 6 && check::is_no_placeholder(rest))
}

pub(super) fn is_secret_unquoted(
    value: &[u8],
    joint: Joint,
    strength: Strength,
    names: Names,
    behind: Option<u8>,
) -> bool {
    if value.len() < 4 || !check::is_no_placeholder(value) || is_reference(value) || is_call(value, behind) {
        return false;
    }
    let first = value[0];
    // `!secret name`, `!Ref Name` of YAML.
    if first == b'!' && behind == Some(b' ') && value[1..].iter().all(u8::is_ascii_alphabetic) {
        return false;
    }
    if matches!(first, b'/' | b'.' | b'~' | b'%' | b'&' | b'*' | b'=' | b'|' | b'\\')
        || first == b'-' && joint == Joint::Flag
        || check::is_name_in_program(value)
        || is_address(value)
    {
        return false;
    }
    let has_digit = check::has_digit(value);
    let has_letter = value.iter().any(|byte| byte.is_ascii_alphabetic() || *byte >= 128);
    if !has_letter {
        // Numbers and dates.
        let is_number = value.iter().all(u8::is_ascii_digit);
        return strength == Strength::Certain && value.len() >= 6 && (is_number || !is_number_like(value));
    }
    match strength {
        Strength::Certain if has_digit => value.len() >= 5,
        Strength::Certain => {
            let has_secret_character = value
                .iter()
                .any(|byte| !is_word_byte(*byte) && !matches!(byte, b'-' | b'.' | b':' | b'/' | b','));
            let ends_line = matches!(behind, None | Some(b'\n' | b'\r'));
            let is_plain_file = match (joint, names) {
                (Joint::Tight, Names::Variable) => true,
                (Joint::Tight, Names::Setting) => ends_line || behind == Some(b'&'),
                (Joint::Tight, Names::Else) => behind == Some(b'&'),
                _ => false,
            };
            match joint {
                _ if is_plain_file => !is_name_of_it(value),
                Joint::Prose => false,
                _ => value.len() >= 7 && has_secret_character && !looks_like_code(value),
            }
        }
        Strength::Likely => {
            let shortest = if joint == Joint::Tight { 6 } else { 8 };
            value.len() >= shortest
                && looks_random(value)
                && !is_word_with_number(value)
                && !looks_like_code(value)
        }
    }
}

const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns true for digits among letters, or capitals among small letters as no word has them.
fn looks_random(value: &[u8]) -> bool {
    let has_letter = value.iter().any(u8::is_ascii_alphabetic);
    let is_mixed = value.len() >= 20
        && value.iter().any(u8::is_ascii_lowercase)
        && value
            .windows(2)
            .filter(|pair| pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase())
            .count()
            >= 2
        && value.iter().all(|byte| is_word_byte(*byte) || matches!(byte, b'+' | b'/' | b'=' | b'-'));
    has_letter && (check::has_digit(value) || is_mixed)
}

/// `uint256`, `oauth2`, `token1`: a word with a short number as suffix.
fn is_word_with_number(value: &[u8]) -> bool {
    let letters = value.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
    let digits = value.len() - letters;
    let is_word = letters <= 9 || value[..letters].iter().all(|byte| !byte.is_ascii_uppercase());
    letters > 0 && is_word && digits <= 3 && value[letters..].iter().all(u8::is_ascii_digit)
}

/// `12.5`, `2024-01-31`, `0x1F`, `10_000`
fn is_number_like(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/' | b'+' | b',' | b'%')
    })
}

/// `${NAME}`, `$NAME`, `$(command)`, `{{ name }}`, `%NAME%`, `process.env.NAME`
pub(super) fn is_reference(value: &[u8]) -> bool {
    let is_name = |part: &[u8]| {
        !part.is_empty()
            && part.iter().all(|byte| is_word_byte(*byte) || matches!(byte, b'.' | b'[' | b']' | b'-' | b'>'))
    };
    match value {
        [b'$', b'{' | b'(' | b'$', ..] | [b'{', b'{', ..] | [b'<', ..] => true,
        [b'$', name @ ..] => is_name(name) && !name[0].is_ascii_digit(),
        [b'%', name @ .., b'%'] => is_name(name),
        [b'#', b'{', ..] | [b'@', b'{', ..] => true,
        _ => {
            value.starts_with(b"process.env")
                || value.starts_with(b"os.environ")
                || value.starts_with(b"env.")
        }
    }
}

/// `get_token(x)`, `sha256(`: a call in a program, and no password with parentheses.
fn is_call(value: &[u8], behind: Option<u8>) -> bool {
    let Some(open) = value.iter().position(|byte| *byte == b'(') else { return false };
    let (name, arguments) = (&value[..open], &value[open + 1..]);
    let is_name_byte = |byte: &u8| {
        is_word_byte(*byte) || matches!(byte, b'.' | b':' | b'!' | b'?' | b'&' | b'<' | b'>' | b'$')
    };
    let last = name.rsplit(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default();
    let is_name = !name.is_empty()
        && name.iter().all(is_name_byte)
        && !name[0].is_ascii_digit()
        && (!check::has_digit(last) || is_word_with_number(last));
    let begins_argument = match arguments {
        [] => true,
        [first, ..] => {
            !first.is_ascii_digit()
                || arguments.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b')' | b'.' | b','))
        }
    };
    let ends_call = match arguments.iter().position(|byte| *byte == b')') {
        Some(close) => {
            matches!(arguments.get(close + 1), None | Some(b'.' | b')' | b'[' | b'?' | b'{' | b';'))
        }
        None => arguments.is_empty() || matches!(behind, Some(b'"' | b'\'' | b'`' | b',' | b'<')),
    };
    is_name && begins_argument && ends_call
}

/// `https://…`: another rule handles passwords in addresses.
fn is_address(value: &[u8]) -> bool {
    let start = &value[..value.len().min(16)];
    start.windows(3).any(|part| part == b"://")
}

/// Syntax that only programs contain: `a[0].b`, `x::y`, `a->b`, `&'a`.
fn looks_like_code(value: &[u8]) -> bool {
    let has = |part: &[u8]| value.windows(part.len()).any(|other| other == part);
    has(b"::")
        || has(b"->")
        || has(b"=>")
        || has(b"==") && !value.ends_with(b"==")
        || has(b"[")
        || has(b"](")
        || has(b"{")
        || has(b"()")
        || has(b"&&")
        || has(b"||")
}

/// The value only names itself: `new_password`, `my-secret`, `passwordInput`.
fn is_name_of_it(value: &[u8]) -> bool {
    !check::has_digit(value)
        && value.iter().all(|byte| is_word_byte(*byte) || matches!(byte, b'-' | b'.' | b':' | b'/' | b' '))
        && {
            let lower = value.to_ascii_lowercase();
            let says = |word: &str| lower.windows(word.len()).any(|part| part == word.as_bytes());
            [
                "password",
                "passwd",
                "secret",
                "token",
                "key",
                "cred",
                "pass",
                "pwd",
                "auth",
                "string",
                "none",
                "null",
                "true",
                "false",
                "optional",
                "required",
                "hidden",
                "undefined",
            ]
            .into_iter()
            .any(says)
        }
}
