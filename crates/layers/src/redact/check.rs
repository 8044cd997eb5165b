//! Checks of a value that no pattern can express.

/// Returns true if the value contains a digit, which natural words do not.
pub(super) fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

/// Returns true if the value is literal, and no placeholder.
pub(super) fn is_no_placeholder(value: &[u8]) -> bool {
    const WORDS: &[&str] =
        &["password", "passwd", "secret", "token", "changeme", "string", "redacted", "example"];
    let first = value.first().copied().unwrap_or(0);
    let stands_for_another =
        matches!(first, b'{' | b'<' | b'[') || value.starts_with(b"%(") || is_variable(value);
    let is_one_letter = value.iter().all(|byte| *byte == first);
    let is_word = WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    let says_what_it_is = !has_digit(value) && names_itself(value);
    !(stands_for_another || is_one_letter || is_word || says_what_it_is)
}

/// `$NAME`, `${NAME}`, `$(command)`
fn is_variable(value: &[u8]) -> bool {
    match value {
        [b'$', b'{' | b'(' | b'$', ..] => true,
        [b'$', name @ ..] => name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'),
        _ => false,
    }
}

/// `self.token2`, `get_token2`: names joined by dots, or a name that contains the word for its own value.
pub(super) fn is_name_in_program(value: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_name =
        |part: &[u8]| part.first().is_some_and(|first| !first.is_ascii_digit()) && part.iter().all(is_word);
    if !value.split(|byte| *byte == b'.').all(is_name) {
        return false;
    }
    value.contains(&b'.') || names_itself(value)
}

/// `my_password`: a name that contains the word for its own value.
fn names_itself(value: &[u8]) -> bool {
    let is_name = value.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let lower = value.to_ascii_lowercase();
    let says = |word: &str| lower.windows(word.len()).any(|part| part == word.as_bytes());
    is_name && ["token", "secret", "key", "pass", "pwd"].into_iter().any(says)
}

/// Returns true for words, a path or a name: no digit, and no capital after another letter.
pub(super) fn is_made_of_words(run: &[u8]) -> bool {
    let is_odd = |pair: &[u8]| pair[0].is_ascii_alphabetic() && pair[1].is_ascii_uppercase();
    !has_digit(run) && !run.windows(2).any(is_odd)
}

/// Returns the Shannon entropy of `value` in bits for each character.
pub(super) fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let all = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let bits = |count: &u32| {
        let share = f64::from(*count) / all;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_placeholders_are_no_values() {
        for value in ["self.token2", "get_token2", "os.environ1"] {
            assert!(is_name_in_program(value.as_bytes()), "{value}");
        }
        for value in ["${PASSWORD}", "<your-key-1>", "xxxxxxxx", "Password", "{token}", "my_password"] {
            assert!(!is_no_placeholder(value.as_bytes()), "{value}");
        }
        assert!(is_no_placeholder(b"swordfish"));
    }

    #[test]
    fn random_text_is_not_made_of_words() {
        for words in ["Unfortunately", "src/layers/redact/mod.rs", "well-known.names"] {
            assert!(is_made_of_words(words.as_bytes()), "{words}");
        }
        for random in ["aGVsbG8gd29ybGQ", "9f86d081884c7d65", "ABCDEFGHIJKL"] {
            assert!(!is_made_of_words(random.as_bytes()), "{random}");
        }
    }

    #[test]
    fn entropy_is_in_bits_for_each_character() {
        assert!(entropy(b"aaaaaaaa") < 0.01);
        assert!((entropy(b"abcdefgh") - 3.0).abs() < 0.01);
    }
}
