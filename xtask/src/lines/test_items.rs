//! The items of a file that only tests compile: those behind `#[cfg(test)]` or `#[cfg(all(test, …))]`.

use std::ops::Range;

use crate::rust_source::{Kind, segments};

/// The test items of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TestItems {
    /// The lines of the items, counted from 0.
    pub(super) lines: Vec<Range<usize>>,
    /// The modules whose code is in another file.
    pub(super) modules: Vec<String>,
}

impl TestItems {
    pub(super) fn of(source: &str) -> Self {
        let source = structure(source);
        let mut items = Self::default();
        let mut at = 0;
        while let Some(found) = source[at..].find("#[cfg(") {
            let start = at + found;
            let attribute = source[start..].find(']').map_or(source.len(), |end| start + end + 1);
            at = attribute;
            let condition = &source[start + "#[cfg(".len()..attribute];
            if !(condition == "test)]" || condition.starts_with("all(test,")) {
                continue;
            }
            let body = attribute + attributes(&source[attribute..]);
            let end = body + item(&source[body..]);
            let line = |at: usize| source[..at].matches('\n').count();
            items.lines.push(line(start)..line(end - 1) + 1);
            items.modules.extend(module(&source[body..end]));
            at = end;
        }
        items
    }
}

/// The file with blanks instead of comments, strings and characters, so that every bracket is one of the code.
fn structure(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    for segment in segments(source) {
        if segment.kind == Kind::Code {
            out.push_str(segment.text);
        } else {
            out.extend(segment.text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
    }
    for character in ["'{'", "'}'", "'('", "')'", "'['", "']'", "';'"] {
        out = out.replace(character, "   ");
    }
    out
}

/// The length of the attributes that the text begins with.
fn attributes(text: &str) -> usize {
    let mut len = 0;
    loop {
        let rest = text[len..].trim_start();
        if !rest.starts_with("#[") {
            return len;
        }
        len = text.len() - rest.len() + rest.find(']').map_or(rest.len(), |end| end + 1);
    }
}

/// The length of the item that the text begins with: up to its `;`, or to the end of its braces.
fn item(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The name of a module whose code is in another file.
fn module(item: &str) -> Option<String> {
    let (before, name) = item.strip_suffix(';')?.rsplit_once(char::is_whitespace)?;
    (before.trim() == "mod" || before.trim().ends_with(" mod")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(source: &str) -> (Vec<Range<usize>>, Vec<String>) {
        let TestItems { lines, modules } = TestItems::of(source);
        (lines, modules)
    }

    #[test]
    fn a_test_module_ends_at_its_brace() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    // }\n    const B: &str = \"}\";\n    const C: char = '}';\n}\nfn d() {}\n";
        let (lines, modules) = items(source);
        assert_eq!((lines.len(), lines.first(), modules.len()), (1, Some(&(1..7)), 0));
    }

    #[test]
    fn a_test_module_in_another_file_is_named() {
        let source = "#[cfg(test)]\nmod broken;\n#[cfg(all(test, unix))]\n#[path = \"x.rs\"]\npub(crate) mod swaps;\nmod kept;\n";
        assert_eq!(items(source), (vec![0..2, 2..5], vec!["broken".to_owned(), "swaps".to_owned()]));
    }

    #[test]
    fn each_kind_of_item_has_its_end() {
        let source = "#[cfg(test)]\nuse a::{b,\n c};\n#[cfg(test)]\nimpl A {\n fn b(c: [u8; 2]) {}\n}\n#[cfg(test)]\nconst A: u8 = { 1 };\nfn d() {}\n";
        assert_eq!(items(source).0, [0..3, 3..7, 7..9]);
    }

    #[test]
    fn code_that_others_compile_too_is_none() {
        assert_eq!(
            TestItems::of("#[cfg(any(test, unix))]\nmod a;\n#[cfg(not(test))]\nmod b;\n"),
            TestItems::default()
        );
    }
}
