//! A lexer that divides Rust source into code, comments and string literals.
//!
//! It knows only what that division needs: comments, strings with their prefixes, and characters, which can hold a quote.

/// The kind of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identifiers, numbers, punctuation, characters, and the white space between them.
    Code,
    /// A comment or a doc comment.
    Comment,
    /// A string literal of any kind, with its quotes.
    Literal,
}

/// A part of a file that is all of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// The line of its first byte, counted from 0.
    pub(crate) line: usize,
}

/// Divides a file. The texts of the segments, in order, make the whole file.
pub(crate) fn segments(source: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let (mut start, mut at, mut line) = (0, 0, 0);
    let mut push = |kind, from: usize, to: usize| {
        if from < to {
            let text = &source[from..to];
            out.push(Segment { kind, text, line });
            line += text.matches('\n').count();
        }
    };
    while at < source.len() {
        let rest = &source[at..];
        if let Some((kind, prefix, len)) = special(rest) {
            push(Kind::Code, start, at + prefix);
            push(kind, at + prefix, at + prefix + len);
            at += prefix + len;
            start = at;
        } else {
            at += code(rest);
        }
    }
    push(Kind::Code, start, at);
    out
}

/// The comment or string that this text begins with: its kind, the bytes of the prefix before it, and its length.
fn special(rest: &str) -> Option<(Kind, usize, usize)> {
    if rest.starts_with("//") {
        return Some((Kind::Comment, 0, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return Some((Kind::Comment, 0, block_comment(rest)));
    }
    if rest.starts_with('"') {
        return Some((Kind::Literal, 0, string(rest)));
    }
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    raw_string(&rest[prefix.len()..]).map(|len| (Kind::Literal, prefix.len(), len))
}

/// The length of the code that is passed at once: an identifier, a character literal, or one other character.
fn code(rest: &str) -> usize {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    if word > 0 { word } else { character(rest).unwrap_or(first) }
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner.get(2..)?.find('\'').map(|end| 1 + 2 + end + 1);
    }
    let first = inner.chars().next()?.len_utf8();
    inner[first..].starts_with('\'').then_some(1 + first + 1)
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of `#"…"#`, with any number of hashes.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then(|| {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = hashes + 1;
        rest[body..].find(&end).map_or(rest.len(), |found| body + found + end.len())
    })
}

/// The length of a block comment, with those nested in it.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::Kind::{Code, Comment, Literal};
    use super::*;

    fn kinds(source: &str) -> Vec<(Kind, &str, usize)> {
        segments(source).into_iter().map(|Segment { kind, text, line }| (kind, text, line)).collect()
    }

    #[test]
    fn comments_are_separated_from_code() {
        assert_eq!(
            kinds("a // b\n/* c /* d */\n */ e"),
            [
                (Code, "a ", 0),
                (Comment, "// b", 0),
                (Code, "\n", 0),
                (Comment, "/* c /* d */\n */", 1),
                (Code, " e", 2)
            ]
        );
    }

    #[test]
    fn strings_end_at_their_own_quote() {
        assert_eq!(
            kinds(r##"f("a\"//", b"x", r#"y"z"#)"##),
            [
                (Code, "f(", 0),
                (Literal, r#""a\"//""#, 0),
                (Code, ", b", 0),
                (Literal, "\"x\"", 0),
                (Code, ", r", 0),
                (Literal, "#\"y\"z\"#", 0),
                (Code, ")", 0)
            ]
        );
    }

    #[test]
    fn characters_lifetimes_and_raw_identifiers_are_code() {
        for source in ["'\"'", "'\\''", "&'a str", "r#type", "'\\u{1F600}'", "for_br", "'/'"] {
            assert_eq!(kinds(source), [(Code, source, 0)], "{source}");
        }
    }

    #[test]
    fn a_string_that_does_not_end_is_the_rest() {
        assert_eq!(kinds("a \"b\nc"), [(Code, "a ", 0), (Literal, "\"b\nc", 0)]);
    }
}
