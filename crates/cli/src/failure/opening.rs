//! Why a store was not opened, and the next step.

use std::path::Path;

use throughline::{ErrorKind, postgres, sqlite};

use super::{Exit, Failure, advice, with_sources};

impl From<sqlite::OpenError> for Failure {
    fn from(error: sqlite::OpenError) -> Self {
        use sqlite::OpenError;
        if let OpenError::Sqlite { path, .. } | OpenError::Io { path, .. } = &error
            && !may(path, "read")
        {
            return Self::denied(path, "read");
        }
        let kind = error.kind();
        let failure = Self::of_kind(kind, &error).about("the store was not opened");
        let advice = match &error {
            OpenError::Missing { .. } => Some("name an existing file with --store or THROUGHLINE_STORE"),
            OpenError::Path { .. } => Some("name the file of a store with --store or THROUGHLINE_STORE"),
            OpenError::Foreign { .. } => {
                Some("name the file of a store; `throughline import` reads the files of other programs")
            }
            OpenError::NoWalIndex { .. } => Some("`throughline repair --apply` opens it once for writing"),
            OpenError::Newer { .. } => Some("install the version of `throughline` that wrote the store"),
            _ => advice(kind),
        };
        match advice {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    }
}

impl Failure {
    /// The failure to open a file for writing.
    pub(crate) fn of_writing(error: sqlite::OpenError, path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match &error {
            sqlite::OpenError::Sqlite { .. } | sqlite::OpenError::Io { .. } => {
                let denied =
                    [path, folder.unwrap_or(Path::new("."))].into_iter().find(|at| !may(at, "write"));
                denied.map_or_else(|| error.into(), |denied| Self::denied(denied, "write"))
            }
            _ => error.into(),
        }
    }

    fn denied(path: &Path, verb: &str) -> Self {
        let text = format!("the store was not opened: this user may not {verb} `{}`", path.display());
        Self::new(Exit::Failed, ErrorKind::Denied.code(), text)
            .advise("run the command as the user of the store, or change the rights of the file")
    }
}

/// Whether this user may read, or write, an existing file or folder. It opens no file: to close it would end the locks of SQLite.
#[cfg(unix)]
fn may(path: &Path, verb: &str) -> bool {
    use rustix::{
        fs::{Access, access},
        io::Errno,
    };
    let wanted = if verb == "write" { Access::WRITE_OK } else { Access::READ_OK };
    access(path, wanted) != Err(Errno::ACCESS)
}

#[cfg(not(unix))]
fn may(_: &Path, _: &str) -> bool {
    true
}

impl From<postgres::OpenError> for Failure {
    fn from(error: postgres::OpenError) -> Self {
        use postgres::OpenError;
        let (exit, kind, advice) = match &error {
            OpenError::Url => (Exit::Usage, None, "write it as postgres://USER@HOST/DATABASE"),
            OpenError::Missing => {
                (Exit::Failed, Some(ErrorKind::NotFound), "a host or `throughline serve` creates the store")
            }
            OpenError::Unreachable { code, .. } => unreachable_for(code.as_deref().unwrap_or_default()),
            OpenError::NoPrimary => (
                Exit::Unavailable,
                Some(ErrorKind::Unavailable),
                "repeat the command when a server is the primary",
            ),
            OpenError::Newer { .. } => (
                Exit::Failed,
                Some(ErrorKind::Unsupported),
                "install the version of `throughline` that wrote the store",
            ),
            _ => (Exit::Failed, Some(ErrorKind::Unsupported), ""),
        };
        let code = kind.map_or("usage", ErrorKind::code);
        let failure = Self::new(exit, code, with_sources(&error)).about("the store was not opened");
        if advice.is_empty() { failure } else { failure.advise(advice) }
    }
}

/// A server that refused with this SQLSTATE, or that did not answer. A wrong password does not pass with time.
fn unreachable_for(code: &str) -> (Exit, Option<ErrorKind>, &'static str) {
    match code {
        "42501" => (
            Exit::Failed,
            Some(ErrorKind::Denied),
            "give the role of the URL the rights that the guide of the Postgres store lists",
        ),
        "3D000" => (Exit::Failed, Some(ErrorKind::NotFound), "name an existing database in the URL"),
        code if code.starts_with("28") => {
            (Exit::Failed, Some(ErrorKind::Denied), "check the user and the password of the URL")
        }
        _ => (
            Exit::Unavailable,
            Some(ErrorKind::Unavailable),
            "check that the server runs and that the URL is right",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_may_answer_later_exits_with_4() {
        for (code, exit) in [
            ("", Exit::Unavailable),
            ("53300", Exit::Unavailable),
            ("57P03", Exit::Unavailable),
            ("28P01", Exit::Failed),
            ("28000", Exit::Failed),
            ("3D000", Exit::Failed),
            ("42501", Exit::Failed),
        ] {
            assert_eq!(unreachable_for(code).0, exit, "{code}");
        }
    }
}
