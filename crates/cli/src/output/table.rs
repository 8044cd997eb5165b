//! A table whose last column takes the remaining width.

use std::io;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{BOLD, Output};

/// The fewest columns of the last column, also on a narrow terminal.
const NARROWEST: usize = 12;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }
}

/// Rows of text. Every value must be safe for a terminal: see [`line`](super::line).
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, values: Vec<String>) {
        debug_assert_eq!(values.len(), self.columns.len());
        self.rows.push(values);
    }

    pub(crate) fn write(&self, output: &mut Output) -> io::Result<()> {
        for (at, line) in self.lines(output.width()).into_iter().enumerate() {
            match at {
                0 => output.line(format_args!("{BOLD}{line}{BOLD:#}"))?,
                _ => output.line(line)?,
            }
        }
        Ok(())
    }

    /// The lines, the first with the titles. Only the last column is shortened: the others have ids and numbers.
    fn lines(&self, width: usize) -> Vec<String> {
        let titles: Vec<String> = self.columns.iter().map(|column| column.title().to_owned()).collect();
        let last = self.columns.len() - 1;
        let widths: Vec<usize> = (0..last)
            .map(|at| {
                let values = self.rows.iter().chain(std::iter::once(&titles));
                values.map(|row| row[at].width()).max().unwrap_or_default()
            })
            .collect();
        let taken: usize = widths.iter().map(|width| width + 2).sum();
        let left = width.saturating_sub(taken).max(NARROWEST);
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (at, width) in widths.iter().enumerate() {
                let padding = " ".repeat(width - row[at].width());
                match self.columns[at] {
                    Column::Left(_) => line.extend([&row[at], padding.as_str(), "  "]),
                    Column::Right(_) => line.extend([padding.as_str(), &row[at], "  "]),
                }
            }
            line.push_str(&shortened(&row[last], left));
            line.truncate(line.trim_end().len());
            line
        };
        std::iter::once(&titles).chain(&self.rows).map(line).collect()
    }
}

/// Returns the text within a number of columns; `…` replaces the rest.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut taken = 0;
    for char in text.chars() {
        taken += char.width().unwrap_or_default();
        if taken + 1 > width {
            break;
        }
        shown.push(char);
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_column_is_shortened_and_wide_characters_count_twice() {
        let mut table = Table::new(&[Column::Left("id"), Column::Right("n"), Column::Left("text")]);
        table.row(vec!["日本".into(), "7".into(), "a text of some words".into()]);
        table.row(vec!["telegram:42".into(), "12".into(), "日本日本日本日本".into()]);
        assert_eq!(
            table.lines(30),
            ["id            n  text", "日本          7  a text of so…", "telegram:42  12  日本日本日本…",]
        );
        assert!(table.lines(30).iter().all(|line| line.width() <= 30));
    }
}
