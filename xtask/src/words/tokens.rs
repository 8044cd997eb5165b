//! The words of a file: of its sentences, and of its identifiers.

use crate::rust_source::{Kind, segments};

/// A word, in lower case: of a sentence, or one part of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// It is the first part of this identifier, or of this word of a sentence.
    pub(super) first_of: Option<String>,
    /// It is of an identifier.
    pub(super) is_name: bool,
    /// It begins a sentence that is no question, or an identifier.
    pub(super) is_start: bool,
    /// Only parts with the same number can be words in a row.
    pub(super) flow: usize,
}

/// Modules of the standard library whose names are not the choice of the code that uses them. In two parts, so that this
/// file does not hold them.
const STD_MODULES: [&str; 1] = [concat!("ce", "ll")];

/// Keys of the compiler's attributes, such as `on_unimplemented`, in two parts for the same reason.
const ATTRIBUTE_KEYS: [&str; 1] = [concat!("no", "te")];

/// The parts of a file of Rust.
pub(super) fn of_rust(source: &str) -> Vec<Part> {
    let mut reader = Reader::default();
    reader.rust(source, 0);
    reader.parts
}

/// The parts of a file of Markdown, or of another text.
pub(super) fn of_prose(text: &str) -> Vec<Part> {
    let mut reader = Reader::default();
    reader.prose(text, 0);
    reader.parts
}

/// The parts of an identifier in snake or camel case, in lower case.
pub(super) fn parts_of(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut is_new = true;
    let mut chars = name.chars().peekable();
    let mut earlier = '_';
    while let Some(c) = chars.next() {
        if c == '_' {
            is_new = true;
        } else {
            let goes_on_lower = chars.peek().is_some_and(|next| next.is_lowercase());
            is_new |= c.is_uppercase() && (!earlier.is_uppercase() || goes_on_lower);
            if is_new {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.extend(c.to_lowercase());
            }
            is_new = false;
        }
        earlier = c;
    }
    parts
}

/// Whether a name between these parts of code is the key of an attribute: it is in parentheses, and its value is a string.
fn is_attribute_key(before: &str, name: &str, after: &str) -> bool {
    ATTRIBUTE_KEYS.contains(&name) && before.trim_end().ends_with(['(', ',']) && after.trim() == "="
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Debug, Default)]
struct Reader {
    parts: Vec<Part>,
    flow: usize,
}

impl Reader {
    fn word(&mut self, word: &str, line: usize, in_code: bool, starts_sentence: bool) {
        let texts = parts_of(word);
        let is_name = in_code || texts.len() > 1;
        for (index, text) in texts.into_iter().enumerate() {
            let first_of = (index == 0).then(|| word.to_owned());
            let is_start = index == 0 && (is_name || starts_sentence);
            self.parts.push(Part { text, line: line + 1, first_of, is_name, is_start, flow: self.flow });
        }
    }

    /// Reads Rust, with its first line counted as `line`, from 0.
    fn rust(&mut self, source: &str, line: usize) {
        let mut comment: Option<(String, usize)> = None;
        for segment in segments(source) {
            let at = line + segment.line;
            match segment.kind {
                Kind::Comment => {
                    let (text, _) = comment.get_or_insert_with(|| (String::new(), at));
                    text.push_str(segment.text);
                }
                // Comments with only one line end between them are one text.
                Kind::Code if segment.text.trim().is_empty() && segment.text.matches('\n').count() == 1 => {
                    if let Some((text, _)) = &mut comment {
                        text.push_str(segment.text);
                    }
                }
                Kind::Code | Kind::Literal => {
                    if let Some((text, at)) = comment.take() {
                        self.prose(&without_markers(&text), at);
                    }
                    if segment.kind == Kind::Code {
                        self.code(segment.text, at);
                    } else {
                        self.prose(&without_escapes(segment.text), at);
                    }
                }
            }
        }
        if let Some((text, at)) = comment {
            self.prose(&without_markers(&text), at);
        }
    }

    /// Reads code without comments and strings: each identifier is a flow.
    fn code(&mut self, code: &str, line: usize) {
        let mut end = 0;
        while let Some(len) = code[end..].find(is_in_word) {
            let start = end + len;
            end = start + code[start..].find(|c| !is_in_word(c)).unwrap_or(code.len() - start);
            let (before, name, after) = (&code[..start], &code[start..end], &code[end..]);
            let is_module = after.starts_with("::") && STD_MODULES.contains(&name);
            if !is_module && !is_attribute_key(before, name, after) {
                self.flow += 1;
                self.word(name, line + before.matches('\n').count(), true, false);
            }
        }
    }

    /// Reads sentences: Markdown, with fenced code.
    fn prose(&mut self, text: &str, line: usize) {
        self.flow += 1;
        let mut fenced: Option<(String, usize)> = None;
        let mut sentence = Sentence::new();
        for (index, text) in text.split('\n').enumerate() {
            let at = line + index;
            if text.trim_start().starts_with("```") {
                match fenced.take() {
                    Some((code, at)) => self.rust(&code, at),
                    None => fenced = Some((String::new(), at + 1)),
                }
                sentence.finish(self);
            } else if let Some((code, _)) = &mut fenced {
                code.push_str(text);
                code.push('\n');
            } else {
                if text.trim().is_empty() || text.trim_start().starts_with(['-', '*', '#', '|', '>']) {
                    sentence.finish(self);
                }
                sentence.line(self, text, at);
            }
        }
        sentence.finish(self);
        if let Some((code, at)) = fenced {
            self.rust(&code, at);
        }
        self.flow += 1;
    }
}

/// A sentence that is being read: whether it is a question shows only at its end.
#[derive(Debug)]
struct Sentence {
    /// The index of its first part.
    start: Option<usize>,
    in_code: bool,
}

impl Sentence {
    const fn new() -> Self {
        Self { start: None, in_code: false }
    }

    fn line(&mut self, reader: &mut Reader, text: &str, line: usize) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let len = if is_in_word(c) {
                let len = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
                if rest[len..].starts_with("://") {
                    len + rest[len..].find([' ', ')', '>', '"']).unwrap_or(rest.len() - len)
                } else {
                    self.start.get_or_insert(reader.parts.len());
                    reader.word(&rest[..len], line, self.in_code, false);
                    // The `s` of a genitive is no word.
                    let genitive = rest[len..].starts_with("'s") && !rest[len + 2..].starts_with(is_in_word);
                    if genitive { len + 2 } else { len }
                }
            } else if rest.starts_with("](") {
                rest.find(')').map_or(rest.len(), |end| end + 1)
            } else {
                match c {
                    '`' => self.in_code = !self.in_code,
                    '|' => self.finish(reader),
                    '.' | '!' | '?' if !self.in_code && ends_here(&rest[1..]) => self.end(reader, c == '?'),
                    _ => {}
                }
                c.len_utf8()
            };
            rest = &rest[len..];
        }
    }

    /// Ends the sentence; the next one follows in the same flow.
    fn end(&mut self, reader: &mut Reader, is_question: bool) {
        if let Some(first) = self.start.take().and_then(|start| reader.parts.get_mut(start)) {
            first.is_start |= !is_question;
        }
    }

    /// Ends the paragraph.
    fn finish(&mut self, reader: &mut Reader) {
        self.end(reader, false);
        self.in_code = false;
        reader.flow += 1;
    }
}

/// Whether a full stop before this text ends a sentence.
fn ends_here(after: &str) -> bool {
    after.trim_start_matches([')', '"', '*', '_']).chars().next().is_none_or(char::is_whitespace)
}

/// A comment without the characters that make it one, with the same lines.
fn without_markers(comment: &str) -> String {
    let strip = |line: &str| {
        let line = line.trim_start().trim_end_matches("*/");
        let body = line.strip_prefix("//").or_else(|| line.strip_prefix("/*"));
        body.map_or(line, |body| body.trim_start_matches(['/', '!'])).to_owned()
    };
    comment.split('\n').map(strip).collect::<Vec<_>>().join("\n")
}

/// A string without its escapes, which can look like the beginning of a word, with the same lines.
fn without_escapes(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    let mut chars = literal.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
        } else if chars.next() == Some('\n') {
            out.push('\n');
        } else {
            out.push_str("  ");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part with its line, a `^` if it begins something, and a `_` if it is of a name; a bar between flows.
    fn shown(parts: &[Part]) -> String {
        let mut out = String::new();
        let mut flow = None;
        for part in parts {
            let bar = if flow.is_some_and(|flow| flow != part.flow) { "| " } else { "" };
            flow = Some(part.flow);
            let (start, name) = (if part.is_start { "^" } else { "" }, if part.is_name { "_" } else { "" });
            out.push_str(&format!("{bar}{start}{}{name}{} ", part.text, part.line));
        }
        out.trim_end().to_owned()
    }

    #[test]
    fn identifiers_are_divided_in_snake_and_camel_case() {
        let cases: [(&str, &[&str]); 6] = [
            ("big_lorry", &["big", "lorry"]),
            ("BigLorry", &["big", "lorry"]),
            ("HTTPServer2", &["http", "server2"]),
            ("MAX_IDS", &["max", "ids"]),
            ("_x", &["x"]),
            ("r", &["r"]),
        ];
        for (name, parts) in cases {
            assert_eq!(parts_of(name), parts, "{name}");
        }
    }

    #[test]
    fn code_has_a_flow_for_each_name_and_comments_have_one_together() {
        let source = "// Big red\n// cars. Go `a_b`\nfn fast_car() {}\n";
        assert_eq!(shown(&of_rust(source)), "^big1 red1 cars2 ^go2 ^a_2 b_2 | ^fn_3 | ^fast_3 car_3");
    }

    #[test]
    fn modules_of_the_standard_library_are_left_out_of_paths() {
        let [module] = STD_MODULES;
        let source = format!("use std::{module}::A;\nmod {module};");
        assert_eq!(shown(&of_rust(&source)), format!("^use_1 | ^std_1 | ^a_1 | ^mod_2 | ^{module}_2"));
    }

    #[test]
    fn keys_of_attributes_are_left_out_and_other_names_are_not() {
        let [key] = ATTRIBUTE_KEYS;
        let source = format!("#[a({key} = \"b\",\n {key} = \"c\")]\nlet {key} = \"d\";\nf({key}, {key} = e)");
        let names = format!("^let_3 | ^{key}_3 | ^d3 | ^f_4 | ^{key}_4 | ^{key}_4 | ^e_4");
        assert_eq!(shown(&of_rust(&source)), format!("^a_1 | ^b1 | ^c2 | {names}"));
    }

    #[test]
    fn strings_are_sentences_without_escapes() {
        assert_eq!(shown(&of_rust(r#"f("No\nsuch {car}")"#)), "^f_1 | ^no1 such1 car1");
        assert_eq!(shown(&of_rust("\"a \\\n b\"")), "^a1 b2");
    }

    #[test]
    fn a_question_begins_nothing() {
        assert_eq!(
            shown(&of_prose("Is it red? It (the car) is. It's the tenant's")),
            "is1 it1 red1 ^it1 the1 car1 is1 ^it1 the1 tenant1"
        );
    }

    #[test]
    fn columns_lists_headings_and_paragraphs_are_apart() {
        assert_eq!(shown(&of_prose("# A b\n- c\n\nd\ne | f")), "^a1 b1 | ^c2 | ^d4 e5 | ^f5");
    }

    #[test]
    fn targets_of_links_are_left_out_and_fenced_text_is_code() {
        assert_eq!(
            shown(&of_prose("a [b](docs/c.md) https://d.e/f g\n```rust\nlet h; // i\n```\nj")),
            "^a1 b1 g1 | ^let_3 | ^h_3 | ^i3 | ^j5"
        );
    }
}
