//! The kinds of lines.

use throughline_core::Role;

const HEADER: &str = "# aider chat started at ";
const USER: &str = "####";
const TOOL: &str = ">";

/// A line of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The header of a session, with its time.
    Header(&'a str),
    /// A line of the user or of a tool, without its mark, and whether two spaces end it.
    Marked(Role, &'a str, bool),
    /// Any other line.
    Text(&'a str),
}

impl<'a> Line<'a> {
    /// Reads a line without its line break.
    pub(super) fn of(line: &'a str) -> Self {
        if let Some(time) = line.strip_prefix(HEADER).map(str::trim).filter(|time| !time.is_empty()) {
            return Self::Header(time);
        }
        for (mark, role) in [(USER, Role::User), (TOOL, Role::Tool)] {
            if let Some(rest) = line.strip_prefix(mark)
                && let Some(text) = rest.strip_prefix(' ')
            {
                return Self::Marked(role, text.trim_end(), rest.ends_with("  "));
            }
        }
        Self::Text(line)
    }
}

/// Whether a line is the header of a session.
pub(super) fn is_header(line: &[u8]) -> bool {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).starts_with(HEADER.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_needs_a_space_and_shows_the_spaces_at_its_end() {
        assert_eq!(Line::of("#### a b  "), Line::Marked(Role::User, "a b", true));
        assert_eq!(Line::of("####   "), Line::Marked(Role::User, "", true));
        assert_eq!(Line::of("> a"), Line::Marked(Role::Tool, "a", false));
        assert_eq!(Line::of("# aider chat started at 2025  "), Line::Header("2025"));
        for text in ["", "####a", ">a", "##### a", " > a", "# aider chat started at ", "# a"] {
            assert_eq!(Line::of(text), Line::Text(text));
        }
    }
}
