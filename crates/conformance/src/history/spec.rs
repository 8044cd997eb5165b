//! One message, one call at a time.

use throughline_core::{Content, ErrorKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Add(String),
    /// An edit that appends.
    Append {
        text: String,
        expected: Option<u64>,
    },
    Delete,
    Get,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// With this revision.
    Done(u64),
    Refused(ErrorKind),
    /// Revision and content.
    Read(Option<(u64, String)>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) enum State {
    #[default]
    Absent,
    Final {
        revision: u64,
        text: String,
    },
    Dead,
}

impl State {
    /// The state after `call`, and what it is answered.
    pub(super) fn apply(&self, call: &Call) -> (Self, Answer) {
        let refuse = |kind| (self.clone(), Answer::Refused(kind));
        match (self, call) {
            (Self::Absent, Call::Add(text)) => {
                (Self::Final { revision: 1, text: text.clone() }, Answer::Done(1))
            }
            (Self::Final { .. }, Call::Add(_)) => refuse(ErrorKind::AlreadyExists),
            (Self::Dead, Call::Add(_)) => refuse(ErrorKind::Gone),
            (Self::Final { revision, text }, Call::Get) => {
                let content = Content::text(text).as_json().to_owned();
                (self.clone(), Answer::Read(Some((*revision, content))))
            }
            (Self::Absent | Self::Dead, Call::Get) => (self.clone(), Answer::Read(None)),
            (Self::Absent | Self::Dead, Call::Append { .. } | Call::Delete) => refuse(ErrorKind::NotFound),
            (Self::Final { revision, text }, Call::Append { text: more, expected }) => {
                if expected.is_some_and(|expected| expected != *revision) {
                    return refuse(ErrorKind::Stale);
                }
                let revision = revision + 1;
                (Self::Final { revision, text: format!("{text}{more}") }, Answer::Done(revision))
            }
            (Self::Final { revision, .. }, Call::Delete) => (Self::Dead, Answer::Done(*revision)),
        }
    }
}
