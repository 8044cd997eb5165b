//! Reads the value after the name of a secret, and the password after the user in an address.

use std::cell::Cell;

use super::{
    check,
    credential::{is_reference, is_secret_cookie, is_secret_in_quotes, is_secret_unquoted},
    marker::{Markers, OPEN},
    rule::Class,
    secret_name::{MAX_NAME, Strength, secret_name},
};

/// The kind of value after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// The value follows a name and an assignment.
    Assignment,
    /// The password follows a scheme, a user and a colon.
    Address,
}

/// The value after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// More text decides.
    Undecided,
    /// No secret.
    Plain,
    /// A secret, which may continue if it has the greatest length that is read.
    Secret { start: usize, end: usize, goes_on: bool },
}

/// The longest value that is read.
pub(super) const MAX_VALUE: usize = 512;
/// The bytes after a value that decide whether it has ended.
const AHEAD: usize = 48;
/// The most blanks before a value, because tools align values in columns.
const MAX_BLANKS: usize = 32;
/// The most blanks before the name of a setting, and before a line of a block scalar.
pub(super) const MAX_INDENT: usize = 96;
/// The longest comment after the indicator of a block scalar.
const MAX_COMMENT: usize = 80;
/// The most bytes that are read after a match.
pub(super) const MAX_READ: usize = MAX_VALUE + AHEAD + 3 * MAX_BLANKS + 2 * MAX_INDENT + MAX_COMMENT;
/// The most bytes before a match in which the rest of the name is read.
pub(super) const BEFORE: usize = MAX_NAME;

/// Returns the class of the characters after [`MAX_VALUE`] bytes of a value.
pub(super) fn rest() -> Class {
    Class::of("A-Za-z0-9!#%&*+./=?@^_~|:$-")
}

/// A reader that records whether it read the end of the text: then more text may change the result.
struct Reader<'a> {
    text: &'a [u8],
    reached_end: Cell<bool>,
}

impl Reader<'_> {
    fn at(&self, at: usize) -> Option<u8> {
        let byte = self.text.get(at).copied();
        if byte.is_none() {
            self.reached_end.set(true);
        }
        byte
    }

    fn is(&self, at: usize, expected: &[u8]) -> bool {
        expected.iter().enumerate().all(|(more, byte)| self.at(at + more) == Some(*byte))
    }

    fn skip(&self, mut at: usize, most: usize, is_skipped: impl Fn(u8) -> bool) -> usize {
        let end = at + most;
        while at < end && self.at(at).is_some_and(&is_skipped) {
            at += 1;
        }
        at
    }
}

/// Reads the value after `found`, the match of a rule. Names begin at or after `begins`.
pub(super) fn read(
    reads: Reads,
    text: &[u8],
    begins: usize,
    found: (usize, usize),
    markers: &Markers,
    last: bool,
) -> Value {
    let reader = Reader { text, reached_end: Cell::new(false) };
    let value = match reads {
        Reads::Assignment => assigned(&reader, begins, found),
        Reads::Address => in_address(&reader, found.1),
    };
    if !last && reader.reached_end.get() {
        return Value::Undecided;
    }
    match value {
        Some((start, end, _)) if holds_marker(&text[start..end], markers) => Value::Plain,
        Some((start, end, goes_on)) => Value::Secret { start, end, goes_on },
        None => Value::Plain,
    }
}

/// Returns true if a part of it is already hidden.
fn holds_marker(value: &[u8], markers: &Markers) -> bool {
    let mut rest = value;
    while let Some(at) = rest.windows(OPEN.len()).position(|part| part == OPEN.as_bytes()) {
        rest = &rest[at..];
        let end = rest.iter().position(|byte| *byte == b']').map_or(rest.len(), |end| end + 1);
        if markers.is_true(&rest[..end]) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The start and end of a value, and whether it continues.
type Part = (usize, usize, bool);

/// The syntax between a name and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// `=` without a blank: of forms, queries, environments and flags.
    Tight,
    Loose,
    /// `--password VALUE`.
    Flag,
    /// `the password is VALUE`.
    Prose,
    /// `<password>VALUE<`.
    Element,
}

fn assigned(reader: &Reader<'_>, begins: usize, (start, end): (usize, usize)) -> Option<Part> {
    let text = reader.text;
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') || byte >= 128;
    let lowest = begins.max(start.saturating_sub(BEFORE));
    let mut first = start;
    while first > lowest && is_name(text[first - 1]) {
        first -= 1;
    }
    let name_end = start + text[start..end].iter().take_while(|byte| is_name(**byte)).count();
    let mut strength = secret_name(&text[first..name_end]);
    if strength.is_none() {
        // `API key`, `Secret Access Key`
        let mut spaced = first;
        for _ in 0..2 {
            if spaced <= lowest + 1 || text[spaced - 1] != b' ' || !text[spaced - 2].is_ascii_alphanumeric() {
                break;
            }
            spaced -= 1;
            while spaced > lowest && text[spaced - 1].is_ascii_alphanumeric() {
                spaced -= 1;
            }
        }
        strength = secret_name(&text[spaced..name_end]);
    }
    let strength = strength?;
    let before = first.checked_sub(1).filter(|at| *at >= begins).map(|at| text[at]);
    let name = &text[first..name_end];
    let between = &text[name_end..end];
    let joint = match joint(name, between, before)? {
        // A path of Rust or C++; in LDIF a blank follows.
        Joint::Loose if between.ends_with(b"::") && reader.at(end) != Some(b' ') => return None,
        joint => joint,
    };
    let is_cookie = name.to_ascii_lowercase().ends_with(b"cookie");
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let line = &text[begins.max(first.saturating_sub(MAX_INDENT + 1))..first];
    let indent = line.iter().rev().take_while(is_blank).count();
    let names = match line.len().checked_sub(indent + 1).map(|at| line[at]) {
        _ if is_variable(name) => Names::Variable,
        Some(b'\n') | None if indent <= MAX_INDENT => Names::Setting,
        _ => Names::Else,
    };
    value_at(reader, end, joint, strength, is_cookie, names)
}

/// The form of the name in an assignment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// `DB_PASSWORD`
    Variable,
    /// At the start of its line: `spring.datasource.password=`.
    Setting,
    Else,
}

/// `DB_PASSWORD`
fn is_variable(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

fn joint(name: &[u8], between: &[u8], before: Option<u8>) -> Option<Joint> {
    let trimmed = between.trim_ascii();
    if trimmed.is_empty() {
        return name.starts_with(b"-").then_some(Joint::Flag);
    }
    if between == b"=" {
        return Some(Joint::Tight);
    }
    if trimmed.ends_with(b"is") || trimmed.ends_with(b"was") {
        return Some(Joint::Prose);
    }
    match trimmed {
        b">" => (before == Some(b'<')).then_some(Joint::Element),
        _ => Some(Joint::Loose),
    }
}

/// The quotes that agent tools write.
const QUOTES: &[(&[u8], u8)] = &[
    (b"\"", b'"'),
    (b"'", b'\''),
    (b"`", b'`'),
    (b"&quot;", b'"'),
    (b"&#34;", b'"'),
    (b"&#39;", b'\''),
    (b"%22", b'"'),
    (b"\\u0022", b'"'),
    (b"\\x22", b'"'),
];

/// Returns the quote that begins here: its form, its start and its end.
fn quote(reader: &Reader<'_>, at: usize) -> Option<(usize, usize)> {
    let after = reader.skip(at, 7, |byte| byte == b'\\');
    if matches!(reader.at(after), Some(b'"' | b'\'' | b'`')) {
        return Some((at, after + 1));
    }
    let (written, _) = QUOTES[3..].iter().find(|(written, _)| reader.is(at, written))?;
    Some((at, at + written.len()))
}

fn value_at(
    reader: &Reader<'_>,
    mut at: usize,
    joint: Joint,
    strength: Strength,
    is_cookie: bool,
    names: Names,
) -> Option<Part> {
    let is_blank = |byte: u8| byte == b' ' || byte == b'\t';
    at = reader.skip(at, MAX_BLANKS, is_blank);
    if let Some(start) = block_scalar(reader, at, joint) {
        return block_value(reader, start, joint, strength, is_cookie, names);
    }
    let bold = reader.skip(at, 2, |byte| byte == b'*');
    if bold > at {
        at = reader.skip(bold, 4, is_blank);
    }
    // `Some("…")`, as Rust prints it.
    if reader.at(at) == Some(b'S') && reader.is(at, b"Some(\"") {
        at += 5;
    }
    // `b"…"`, `f'…'`, `@"…"`
    if matches!(reader.at(at), Some(b'b' | b'r' | b'f' | b'u' | b'@' | b'$'))
        && matches!(reader.at(at + 1), Some(b'"' | b'\''))
    {
        at += 1;
    }
    if let Some((open, start)) = quote(reader, at) {
        let written = &reader.text[open..start];
        let quote = [written[0]; 3];
        if start == open + 1 && reader.is(start, &quote[1..]) {
            return in_three_quotes(reader, start + 2, &quote, strength, is_cookie);
        }
        let mut end = start;
        loop {
            if end - start >= MAX_VALUE {
                return Some((start, end.min(reader.text.len()), true));
            }
            match reader.at(end) {
                None => break,
                Some(b'\n' | b'\r') => return None,
                Some(_) if reader.is(end, written) => break,
                // An inner quote in another form belongs to the value: `"a\"b"`. The character after a backslash at the
                // end of the text is unknown.
                Some(b'\\') if written == b"\"" || written == b"'" => {
                    reader.at(end + 1);
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        let end = end.min(reader.text.len());
        let value = &reader.text[start..end];
        return is_secret_in_quotes(value, strength, is_cookie).then_some((start, end, false));
    }
    let start = at;
    let (end, goes_on) = unquoted_end(reader, start, joint, is_cookie)?;
    let value = &reader.text[start..end];
    let is_secret = goes_on
        || match joint {
            Joint::Element => is_secret_in_quotes(value, strength, is_cookie),
            _ if is_cookie => is_secret_cookie(value),
            _ => is_secret_unquoted(value, joint, strength, names, reader.at(end)),
        };
    is_secret.then_some((start, end, goes_on))
}

/// Returns the value in `"""…"""`, of one line or several.
fn in_three_quotes(
    reader: &Reader<'_>,
    open: usize,
    quote: &[u8],
    strength: Strength,
    is_cookie: bool,
) -> Option<Part> {
    let start = reader.skip(open, MAX_INDENT, |byte| byte.is_ascii_whitespace());
    let mut end = start;
    let goes_on = loop {
        match reader.at(end) {
            _ if end - start >= MAX_VALUE => break true,
            None => break false,
            Some(_) if reader.is(end, quote) => break false,
            Some(b'\\') => {
                reader.at(end + 1);
                end += 2;
            }
            Some(_) => end += 1,
        }
    };
    let end = end.min(reader.text.len());
    let end = start + reader.text[start..end].trim_ascii_end().len();
    let value = &reader.text[start..end];
    is_secret_in_quotes(value, strength, is_cookie).then_some((start, end, goes_on))
}

/// Returns the start of the first line of a YAML block scalar: `|`, `>-`, `|2 # comment`.
fn block_scalar(reader: &Reader<'_>, at: usize, joint: Joint) -> Option<usize> {
    if joint != Joint::Loose || !matches!(reader.at(at), Some(b'|' | b'>')) {
        return None;
    }
    let indicator_end = reader.skip(at + 1, 2, |byte| matches!(byte, b'+' | b'-' | b'1'..=b'9'));
    let mut end = reader.skip(indicator_end, MAX_BLANKS, |byte| matches!(byte, b' ' | b'\t'));
    if end > indicator_end && reader.at(end) == Some(b'#') {
        end = reader.skip(end, MAX_COMMENT, |byte| !matches!(byte, b'\r' | b'\n'));
    }
    let end = reader.skip(end, 1, |byte| byte == b'\r');
    let line = reader.skip(end, 1, |byte| byte == b'\n');
    let start = reader.skip(line, MAX_INDENT, |byte| byte == b' ');
    (line > end && start > line).then_some(start)
}

/// Returns the lines of a block scalar whose first line begins at `start`: each line with at least its indentation, and
/// the empty lines in between.
fn block_value(
    reader: &Reader<'_>,
    start: usize,
    joint: Joint,
    strength: Strength,
    is_cookie: bool,
    names: Names,
) -> Option<Part> {
    let indent = reader.text[..start].iter().rev().take_while(|byte| **byte == b' ').count();
    let mut end = start;
    let goes_on = loop {
        let rest = MAX_VALUE - (end - start);
        let line = reader.skip(end, rest, |byte| byte != b'\n');
        end = line;
        if line - start >= MAX_VALUE {
            break true;
        }
        let breaks = reader.skip(line, MAX_VALUE - (line - start), |byte| matches!(byte, b'\n' | b'\r'));
        let next = reader.skip(breaks, indent, |byte| byte == b' ');
        // The next line begins with a blank or a letter; the end of the text ends the value.
        if breaks == line || next - breaks < indent || reader.at(next).is_none() {
            break false;
        }
        end = next;
    };
    let end = start + reader.text[start..end.min(reader.text.len())].trim_ascii_end().len();
    let value = &reader.text[start..end];
    let first = unquoted_end(reader, start, joint, is_cookie).is_some_and(|(end, goes_on)| {
        let value = &reader.text[start..end];
        goes_on || is_secret_unquoted(value, joint, strength, names, reader.at(end))
    });
    (first || is_secret_in_quotes(value, strength, is_cookie)).then_some((start, end, goes_on))
}

/// Returns the end of a value without quotes, and whether the length limit ended it.
fn unquoted_end(reader: &Reader<'_>, start: usize, joint: Joint, is_cookie: bool) -> Option<(usize, bool)> {
    let mut end = start;
    while end - start < MAX_VALUE {
        let Some(byte) = reader.at(end) else { break };
        let ends = match byte {
            b'\n' | b'\r' | b'"' | b'\'' | b'`' | b'<' | b'>' => true,
            b' ' | b'\t' | b';' => !is_cookie,
            0..=31 => true,
            b'\\' => matches!(
                reader.at(end + 1),
                None | Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'\\' | b'u' | b'x')
            ),
            b'&' => joint != Joint::Prose && is_next_pair(reader, end + 1),
            b',' => match reader.at(end + 1) {
                None | Some(b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'') => true,
                Some(_) => is_next_pair(reader, end + 1),
            },
            b'|' => matches!(reader.at(end + 1), None | Some(b' ' | b'|')),
            _ => false,
        };
        if ends {
            break;
        }
        end += 1;
    }
    if end - start >= MAX_VALUE {
        return Some((end, true));
    }
    // Removes closing brackets and the punctuation of a sentence.
    let value = &reader.text[start..end];
    let count = |byte: u8| value.iter().filter(|other| **other == byte).count();
    let unopened = |open: u8, close: u8| count(close).saturating_sub(count(open));
    let mut around =
        [(b')', unopened(b'(', b')')), (b']', unopened(b'[', b']')), (b'}', unopened(b'{', b'}'))];
    loop {
        let value = &reader.text[start..end];
        let last = *value.last()?;
        let closes = around.iter_mut().find(|(close, left)| *close == last && *left > 0);
        end -= match (closes, last) {
            (Some((_, left)), _) => {
                *left -= 1;
                1
            }
            (None, b'.' | b',' | b':') => 1,
            (None, b'*') if value.ends_with(b"**") => 2,
            _ => return Some((end, false)),
        };
    }
}

/// Returns true if another name with a value follows: `user=`, `amp;user=`.
fn is_next_pair(reader: &Reader<'_>, at: usize) -> bool {
    let is_name = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b';' | b' ')
    };
    let end = reader.skip(at, AHEAD - 8, is_name);
    end > at && matches!(reader.at(end), Some(b'=' | b':'))
}

/// Returns the password of `scheme://user:PASSWORD@host`. It may contain `/` and `@`: the last `@` before the end of
/// the address counts.
fn in_address(reader: &Reader<'_>, start: usize) -> Option<Part> {
    const MOST: usize = 256;
    let mut end = start;
    while end - start < MOST {
        match reader.at(end) {
            None | Some(0..=32 | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`' | b'?' | b'#') => break,
            Some(_) => end += 1,
        }
    }
    let run = &reader.text[start..end];
    // Of several addresses in a list, the first one.
    let run = run.windows(3).position(|part| part == b"://").map_or(run, |next| &run[..next]);
    let at = run.iter().rposition(|byte| *byte == b'@')?;
    let value = &run[..at];
    // `host:8080/a@b`
    let port = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_port = port > 0 && port <= 5 && value.get(port) == Some(&b'/');
    (!value.is_empty() && !is_port && check::is_no_placeholder(value) && !is_reference(value)).then_some((
        start,
        start + at,
        false,
    ))
}
