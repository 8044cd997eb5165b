//! Measures the nesting of JSON, without recursion and without allocation.

/// Returns the deepest nesting of arrays and objects in well-formed JSON. A scalar has depth zero.
pub(super) fn depth(json: &str) -> usize {
    let (mut deepest, mut now, mut at) = (0, 0_usize, 0);
    let bytes = json.as_bytes();
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            // Most bytes are those of strings.
            b'"' => loop {
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(more) = memchr::memchr2(b'"', b'\\', rest) else { return deepest };
                at += more + 1;
                if rest[more] == b'"' {
                    break;
                }
                // The byte after a backslash belongs to it.
                at += 1;
            },
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn brackets_in_strings_do_not_count_as_nesting() {
        assert_eq!(depth("7"), 0);
        assert_eq!(depth("[]"), 1);
        assert_eq!(depth(r#"[{"a":[1]},[]]"#), 3);
        assert_eq!(depth(r#"["[[[[\"]]]]{{","\\"]"#), 1);
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(depth(&deep), 1_000_000);
    }
}
