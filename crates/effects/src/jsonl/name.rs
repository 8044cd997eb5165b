//! File names for arbitrary ids, on any file system.

use std::fmt::Write as _;

/// The longest name that is spelled out; a longer one ends in a hash. Most file systems allow 255 bytes, which leaves space for
/// the prefix and the extension.
const LONGEST: usize = 120;
/// The spelled-out part of a longer name.
const BEGINNING: usize = 64;

/// Returns a path component for an id: `prefix`, then the id with every character but `a-z`, `0-9`, `-` and `_` as `%` and two
/// hexadecimal digits.
///
/// It has no separator and no dot. Two ids that differ in case differ in more than case. With the prefix, it is never a reserved
/// device name. A hash follows a `~`, which no spelled-out name has.
pub(super) fn file_name(prefix: &str, id: &str) -> String {
    let mut name = String::with_capacity(prefix.len() + id.len());
    name.push_str(prefix);
    let mut beginning = 0;
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Writes to a `String` never fail.
            _ => drop(write!(name, "%{byte:02x}")),
        }
        if name.len() - prefix.len() <= BEGINNING {
            beginning = name.len();
        }
    }
    if name.len() - prefix.len() > LONGEST {
        name.truncate(beginning);
        name.push('~');
        name.push_str(&blake3::hash(id.as_bytes()).to_hex().as_str()[..32]);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_id_has_a_name_of_its_own_that_is_harmless() {
        let long = "é".repeat(127);
        let almost = format!("{}x", "é".repeat(126));
        let ids = [
            "../x",
            "..",
            ".",
            "CON",
            "con",
            "nul",
            "a/b",
            "a\\b",
            "A",
            "a",
            "a%2fb",
            "%",
            "~",
            "🦀",
            "a b",
            "a.",
            "a:b",
            "-",
            "telegram:42",
            &long,
            &almost,
            &"a".repeat(255),
            &"a".repeat(120),
            &"a".repeat(121),
        ];
        let mut seen = HashSet::new();
        for id in ids {
            let name = file_name("thread-", id);
            let is_harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_%~".contains(c);
            assert!(name.chars().all(is_harmless), "{name}");
            assert!(name.len() <= 130 && name.starts_with("thread-"), "{name}");
            // Also on file systems that ignore case.
            assert!(seen.insert(name.to_lowercase()), "{id}");
        }
        assert_eq!(file_name("thread-", "telegram:42"), "thread-telegram%3a42");
    }
}
