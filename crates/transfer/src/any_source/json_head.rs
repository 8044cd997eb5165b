//! Finds the names of fields in the first bytes of a JSON text, which may be cut off.

/// The most names of one object.
const MAX_NAMES: usize = 200;

/// Returns the field names of the first object in `json`: the object itself, or the first element of an array. The text
/// may end anywhere. A name with escapes is omitted.
pub(super) fn names(json: &[u8]) -> Vec<&str> {
    let start = json.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'[');
    let Some(start) = start.filter(|start| json[*start] == b'{') else { return Vec::new() };
    let (mut names, mut depth, mut at) = (Vec::new(), 0_usize, start);
    while at < json.len() && names.len() < MAX_NAMES {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let Some(end) = end_of_string(json, at + 1) else { break };
                let is_name = depth == 1 && json[end + 1..].trim_ascii_start().first() == Some(&b':');
                if is_name && let Ok(name) = str::from_utf8(&json[at + 1..end]) {
                    names.push(name);
                }
                at = end;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        at += 1;
    }
    names
}

/// Returns the position of the closing quotation mark of a string whose text begins at `at`.
fn end_of_string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match json.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_text_that_is_cut_off_are_found() {
        let json = br#" [ {"a": {"x": 1, "y": [2]}, "b\"": "}\\", "c" : "d", "e": "cut"#;
        assert_eq!(names(json), ["a", "b\\\"", "c", "e"]);
        for end in 0..json.len() {
            let cut = names(&json[..end]);
            assert!(["a", "b\\\"", "c", "e"].starts_with(&cut), "{cut:?}");
        }
    }

    #[test]
    fn a_text_without_an_object_has_no_names() {
        for json in ["", "[", "[[1]]", "1", "\"a\"", "}", "]{", "null"] {
            assert_eq!(names(json.as_bytes()), Vec::<&str>::new(), "{json}");
        }
        assert_eq!(names(b"{\"a\":1} {\"b\":2}"), ["a"]);
    }
}
