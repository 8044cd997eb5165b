//! No file of Rust or Python is longer than one review can take in, tests included.

use super::{Finding, is_python, is_rust};

/// The longest that is allowed.
const LINES: usize = 600;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if (is_rust(path) || is_python(path)) && lines > LINES {
        vec![Finding::whole(format!("{lines} lines; {LINES} is the most: one concept to a file"))]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_allowed_line_is_allowed() {
        assert_eq!(check("src/a.rs", &"\n".repeat(LINES)), []);
        for path in ["src/a.rs", "tests/a.py", "a/b.pyi"] {
            assert_eq!(check(path, &"\n".repeat(LINES + 1)).len(), 1, "{path}");
        }
    }

    #[test]
    fn prose_may_be_long() {
        assert_eq!(check("docs/a.md", &"\n".repeat(LINES + 1)), []);
    }
}
