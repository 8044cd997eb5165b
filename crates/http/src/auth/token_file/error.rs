//! Why a token file is refused.

use std::{fmt, io, path::Path};

/// Why a [`TokenFile`](super::TokenFile) cannot be used, or which of its lines.
///
/// No part of it repeats a value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFileError {
    path: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Unreadable(String),
    TooLarge(u64),
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has these permissions"))]
    Permissions(u32),
    BadLines(Vec<BadLine>),
}

/// A line of a token file that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadLine {
    /// The number of the line, from 1.
    pub number: usize,
    /// The name of the token, if the line has one.
    pub name: Option<String>,
    /// Why the line is refused.
    pub reason: String,
}

impl TokenFileError {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self { path: path.display().to_string(), reason: Reason::Unreadable(error.to_string()) }
    }

    pub(super) fn too_large(path: &Path, limit: u64) -> Self {
        Self { path: path.display().to_string(), reason: Reason::TooLarge(limit) }
    }

    #[cfg(unix)]
    pub(super) fn permissions(path: &Path, mode: u32) -> Self {
        Self { path: path.display().to_string(), reason: Reason::Permissions(mode) }
    }

    pub(super) fn lines(path: &Path, lines: Vec<BadLine>) -> Self {
        Self { path: path.display().to_string(), reason: Reason::BadLines(lines) }
    }

    /// The refused lines. Empty if the file as a whole is refused.
    #[must_use]
    pub fn bad_lines(&self) -> &[BadLine] {
        match &self.reason {
            Reason::BadLines(lines) => lines,
            _ => &[],
        }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "line {} ({name:?}): {}", self.number, self.reason),
            None => write!(f, "line {}: {}", self.number, self.reason),
        }
    }
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token file {}: ", self.path)?;
        match &self.reason {
            Reason::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Reason::TooLarge(limit) => write!(f, "it has more than {limit} bytes"),
            Reason::Permissions(mode) => write!(
                f,
                "its permissions {mode:03o} let its group write, or others read or write: run `chmod 640` on it"
            ),
            Reason::BadLines(lines) => {
                for (at, line) in lines.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "; " };
                    write!(f, "{comma}{line}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for TokenFileError {}
