//! Measures the nesting of JSON, without recursion and without allocation.

/// Returns the deepest nesting of arrays and objects in well-formed JSON. A scalar has depth zero.
pub(super) fn depth(json: &str) -> usize {
    let (mut deepest, mut now) = (0, 0_usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
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
