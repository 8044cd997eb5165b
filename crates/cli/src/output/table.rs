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

    /// The lines, the first with the titles. Only the last column is shortened: the others have ids and numbers. A long id in
    /// the first column has a line of its own, so that it does not move the columns of all rows.
    fn lines(&self, width: usize) -> Vec<String> {
        let titles: Vec<String> = self.columns.iter().map(|column| column.title().to_owned()).collect();
        let last = self.columns.len() - 1;
        let values = || self.rows.iter().chain(std::iter::once(&titles));
        let mut widths: Vec<usize> =
            (0..last).map(|at| values().map(|row| row[at].width()).max().unwrap_or_default()).collect();
        if let Some((first, others)) = widths.split_first_mut() {
            let taken: usize = others.iter().map(|width| width + 2).sum();
            let most = width.saturating_sub(taken + 2 + NARROWEST).max(titles[0].width());
            *first = values().map(|row| row[0].width()).filter(|width| *width <= most).max().unwrap_or(most);
        }
        let taken: usize = widths.iter().map(|width| width + 2).sum();
        let left = width.saturating_sub(taken).max(NARROWEST);
        let lines = |row: &Vec<String>| {
            let (mut lines, mut line) = (Vec::new(), String::new());
            for (at, width) in widths.iter().enumerate() {
                let mut value = row[at].as_str();
                if value.width() > *width {
                    lines.push(value.to_owned());
                    value = "";
                }
                let padding = " ".repeat(width - value.width());
                match self.columns[at] {
                    Column::Left(_) => line.extend([value, padding.as_str(), "  "]),
                    Column::Right(_) => line.extend([padding.as_str(), value, "  "]),
                }
            }
            line.push_str(&shortened(&row[last], left));
            line.truncate(line.trim_end().len());
            lines.push(line);
            lines
        };
        std::iter::once(&titles).chain(&self.rows).flat_map(lines).collect()
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

    #[test]
    fn a_long_id_has_a_line_of_its_own_and_moves_no_column() {
        let mut table = Table::new(&[Column::Left("id"), Column::Right("n"), Column::Left("text")]);
        table.row(vec!["telegram:42".into(), "7".into(), "hello".into()]);
        table.row(vec!["0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b".into(), "12".into(), "a text of words".into()]);
        assert_eq!(
            table.lines(30),
            [
                "id            n  text",
                "telegram:42   7  hello",
                "0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b",
                "             12  a text of wo…",
            ]
        );
    }
}
