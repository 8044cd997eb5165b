//! How a command ends: its exit code, and the text of a failure.

mod opening;

use std::{error::Error, fmt, io};

use serde_json::json;
use throughline::{Effect, ErrorKind, PersistError};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did its work, and found nothing to report.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The arguments are not valid.
    Usage = 2,
    /// The command did its work, and reports findings: damaged rows, differences, a log that was changed.
    Findings = 3,
    /// The store is busy or cannot be reached: the same command may succeed later.
    Unavailable = 4,
}

/// The result of a command.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of the output has left, as `head` does: nothing is wrong.
    OutputClosed,
    /// Everything else.
    Reported(Box<Report>),
}

/// The failure, its reason, and the next step.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: Exit,
    /// The stable code: that of the error kind, or `usage`, `io`.
    pub(crate) code: &'static str,
    pub(crate) text: String,
    pub(crate) advice: Option<String>,
    pub(crate) effect: Option<Effect>,
}

impl Failure {
    /// A failure with a stable code.
    pub(crate) fn new(exit: Exit, code: &'static str, text: impl Into<String>) -> Self {
        Self::Reported(Box::new(Report { exit, code, text: text.into(), advice: None, effect: None }))
    }

    /// A failure of the arguments.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", text)
    }

    /// The failure to make a copy of a store.
    pub(crate) fn of_copy(error: PersistError) -> Self {
        let exists = error.kind() == ErrorKind::AlreadyExists;
        let failure = Self::from(error);
        if exists { failure.advise("name a path where no file is") } else { failure }
    }

    /// The failure of arguments that are not valid, without the usage of the command.
    pub(crate) fn of_arguments(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
        let text = text[..end.unwrap_or(text.len())].trim_start_matches("error: ");
        Self::usage(crate::output::line(text))
    }

    /// A failure of the operating system, with the thing that it is about.
    pub(crate) fn io(text: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Exit::Failed, "io", format!("{text}: {error}"))
    }

    /// Says what to do, unless something was said before.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        if let Self::Reported(report) = &mut self {
            report.advice.get_or_insert(advice.into());
        }
        self
    }

    /// Says what the command was doing.
    pub(crate) fn about(mut self, subject: impl fmt::Display) -> Self {
        if let Self::Reported(report) = &mut self {
            report.text = format!("{subject}: {}", report.text);
        }
        self
    }

    /// A reader of the output who leaves before the work of the command has begun: the work is not done, so this is a failure.
    pub(crate) fn before_the_work(self) -> Self {
        match self {
            Self::OutputClosed => Self::new(
                Exit::Failed,
                "cancelled",
                "the reader of the output left before the plan was shown: nothing was changed",
            )
            .advise("repeat the command, and read its whole output"),
            failure @ Self::Reported(_) => failure,
        }
    }

    /// A failure with the kind of a library error.
    pub(crate) fn of_kind(kind: ErrorKind, error: &dyn Error) -> Self {
        Self::new(exit_of(kind), kind.code(), with_sources(error))
    }
}

impl Report {
    /// The failure as one JSON document.
    pub(crate) fn to_json(&self) -> String {
        let error =
            json!({ "code": self.code, "message": self.text, "advice": self.advice, "effect": self.effect });
        let document = json!({ "version": crate::output::VERSION, "error": error }).to_string();
        // The text may repeat stored text or an argument.
        crate::output::json(&document).into_owned()
    }
}

/// Busy stores and lost servers pass with time.
const fn exit_of(kind: ErrorKind) -> Exit {
    if kind.passes_with_time() { Exit::Unavailable } else { Exit::Failed }
}

/// The text of an error, and of the sources that it does not repeat.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}

impl From<PersistError> for Failure {
    fn from(error: PersistError) -> Self {
        let effect = error.effect();
        let mut failure = Self::of_kind(error.kind(), &error);
        if let Self::Reported(report) = &mut failure {
            report.effect = Some(effect);
            if is_denied_by_the_system(&error) {
                // The kind passes with time; the rights of a file do not.
                (report.exit, report.code) = (Exit::Failed, ErrorKind::Denied.code());
                report.advice = Some("run the command as a user who may write there".to_owned());
            } else {
                report.advice = advice(error.kind()).map(str::to_owned);
            }
        }
        failure
    }
}

/// Whether the operating system refused the access to a file.
fn is_denied_by_the_system(error: &(dyn Error + 'static)) -> bool {
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    error.downcast_ref().is_some_and(is_denied) || error.source().is_some_and(is_denied_by_the_system)
}

/// The next step after an error of this kind, where there is one.
const fn advice(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Busy => "another process holds the store: repeat the command, or end that process",
        ErrorKind::Overloaded | ErrorKind::Timeout => "repeat the command when the store has less to do",
        ErrorKind::Unavailable => "check the disk, the server and the network, and repeat the command",
        ErrorKind::Corrupt => "`throughline verify` names each damaged row",
        ErrorKind::StorageFull => "free space on the disk, or raise the quota of the tenant",
        ErrorKind::NotPrimary => "this store is a replica: name its primary",
        ErrorKind::TooOld => "begin with a later position; `throughline doctor` shows the oldest one",
        _ => return None,
    })
}

impl From<throughline::transfer::TransferError> for Failure {
    fn from(error: throughline::transfer::TransferError) -> Self {
        match error {
            throughline::transfer::TransferError::Store(error) => error.into(),
            error => {
                let is_unknown = matches!(error, throughline::transfer::TransferError::UnknownFormat { .. });
                let failure = Self::new(Exit::Failed, "transfer", with_sources(&error));
                if is_unknown { failure.advise("name the format in place of `auto`") } else { failure }
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::io("the output could not be written", &error)
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => io::Error::from(kind).into(),
            None => Self::new(Exit::Failed, "json", format!("the output is not JSON: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_passes_with_time_exits_with_4_and_others_with_1() {
        for kind in ErrorKind::ALL {
            let is_unavailable = matches!(
                kind,
                ErrorKind::Busy | ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Unavailable
            );
            let Failure::Reported(report) = Failure::from(PersistError::new(*kind, "x")) else {
                unreachable!()
            };
            assert_eq!(report.exit == Exit::Unavailable, is_unavailable, "{kind}");
        }
    }

    #[test]
    fn a_failure_as_json_has_no_raw_control_characters() {
        let hostile = "no thread `\u{1b}[2J\u{7f}\u{9b}31m\u{202e}`";
        let Failure::Reported(report) = Failure::usage(hostile).advise(hostile) else { unreachable!() };
        let shown = report.to_json();
        assert!(!shown.contains(['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}']), "{shown:?}");
        let document: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(document["error"]["message"], hostile);
        assert_eq!(document["error"]["advice"], hostile);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(matches!(Failure::from(closed), Failure::OutputClosed));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(Failure::from(full), Failure::Reported(_)));
    }
}
