//! The output of a command: text for a terminal, or JSON.

mod stored_text;
mod table;
mod unit;

use std::{
    fmt,
    io::{self, BufWriter, IsTerminal as _, Write},
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub(crate) use self::{
    stored_text::{block, json, line},
    table::{Column, Table, shortened},
    unit::{bytes, count, duration, parse_bytes, parse_duration, time, time_of_day},
};

/// The version of every JSON document. It increases when a field changes its meaning or goes away.
pub(crate) const VERSION: u32 = 1;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CAUTION: Style = AnsiColor::Yellow.on_default();
pub(crate) const ID: Style = AnsiColor::Cyan.on_default();

/// The width without a terminal and without `COLUMNS`.
const WIDTH: usize = 80;

/// Where a command writes. Colors reach a terminal only, and none with `NO_COLOR`.
pub(crate) struct Output {
    out: BufWriter<AutoStream<io::Stdout>>,
    is_json: bool,
    width: usize,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { out: BufWriter::new(anstream::stdout()), is_json, width: width() }
    }

    /// Whether the command writes JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// The number of columns.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Writes one JSON document on a line: the version, the command, and the fields of `body`.
    pub(crate) fn json<T: Serialize>(&mut self, command: &str, body: &T) -> Result<(), crate::Failure> {
        #[derive(Serialize)]
        struct Document<'a, T> {
            version: u32,
            command: &'a str,
            #[serde(flatten)]
            body: &'a T,
        }
        let document = serde_json::to_string(&Document { version: VERSION, command, body })?;
        Ok(writeln!(self.out, "{}", stored_text::json(&document))?)
    }

    /// Writes a part of a JSON document as it is, for documents that are longer than the memory may hold.
    pub(crate) fn json_part<T: Serialize + ?Sized>(&mut self, body: &T) -> Result<(), crate::Failure> {
        let part = serde_json::to_string(body)?;
        Ok(write!(self.out, "{}", stored_text::json(&part))?)
    }

    /// Writes bytes of the program itself, such as a man page.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Writes text without the end of a line.
    pub(crate) fn text(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.out.write_fmt(text)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes a line that wraps at the width, for sentences. Spaces at its start indent every line of it.
    pub(crate) fn sentence(&mut self, text: impl fmt::Display) -> io::Result<()> {
        let text = text.to_string();
        let words = text.trim_start_matches(' ');
        self.hanging(&text[..text.len() - words.len()], words)
    }

    /// Writes a head, and behind it text that wraps at the width: its further lines begin below its first word.
    pub(crate) fn hanging(&mut self, head: impl fmt::Display, text: impl fmt::Display) -> io::Result<()> {
        let text = wrapped(&head.to_string(), &text.to_string(), self.width);
        writeln!(self.out, "{text}")
    }

    /// Passes everything on, for a reader that waits for it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A head, and behind it text that wraps at the width: its further lines begin below its first word.
pub(crate) fn wrapped(head: &str, text: &str, most: usize) -> String {
    let indent = columns(head);
    let mut shown = head.to_owned();
    let mut column = indent;
    for (at, word) in text.split(' ').enumerate() {
        let width = columns(word);
        if at > 0 && column + 1 + width > most {
            shown.push('\n');
            shown.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            shown.push(' ');
            column += 1;
        }
        shown.push_str(word);
        column += width;
    }
    shown
}

/// The columns that a text takes. Colors take none.
fn columns(text: &str) -> usize {
    let plain = anstream::adapter::strip_str(text).to_string();
    unicode_width::UnicodeWidthStr::width(plain.as_str())
}

/// The columns of the terminal of the output; those of `COLUMNS` otherwise, or 80.
fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let named = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.filter(|width| *width > 0).or_else(named).unwrap_or(WIDTH).max(40)
}

/// The columns of the terminal of the error output. Without a terminal a program reads it: an error stays on one line.
pub(crate) fn error_width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
    terminal.filter(|width| *width > 0).map_or(usize::MAX, |width| width.max(40))
}

/// Whether a person sees the error output, so that progress is shown there.
pub(crate) fn shows_progress() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn text_wraps_between_words_and_below_its_head() {
        let styled = "\u{1b}[1merror\u{1b}[0m: no such 日本語 file";
        assert_eq!(wrapped("", styled, 12), "\u{1b}[1merror\u{1b}[0m: no\nsuch 日本語\nfile");
        assert_eq!(wrapped("", styled, usize::MAX), styled);
        assert_eq!(
            wrapped("  ", "one two a-word-that-is-longer three", 9),
            "  one two\n  a-word-that-is-longer\n  three"
        );
    }
}
