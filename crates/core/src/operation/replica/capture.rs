use serde::{Deserialize, Serialize};

use crate::{
    message::carries_nothing,
    operation::{
        facts::{AnswerFacts, Facts, StatesFacts},
        replica::on_store,
    },
    replica::ImageCursor,
};

/// Begins to record the changed rows of the store, for a copy by [`ReadImages`](crate::operation::ReadImages). If a capture
/// already runs, it continues. The answer has the cursor at which another copy begins.
///
/// During a capture, each change writes a little more. The dirty set has one entry for each changed row, regardless of the number
/// of its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginCapture {
    /// Whether the copy begins with all rows. Otherwise it begins with the next change, for a copy that is equal now.
    pub whole: bool,
}

impl BeginCapture {
    /// A capture for a copy of all rows.
    pub const WHOLE: Self = Self { whole: true };
    /// A capture for a copy that is equal now.
    pub const FROM_NOW: Self = Self { whole: false };
}

carries_nothing!(BeginCapture { whole: _ });

/// The answer to [`BeginCapture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureBegun {
    /// The cursor at which the copy begins.
    pub cursor: ImageCursor,
}

carries_nothing!(CaptureBegun { cursor: _ });

/// Ends the capture. Its cursors then fail as [`TooOld`](crate::ErrorKind::TooOld).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndCapture {}

carries_nothing!(EndCapture {});

/// The answer to [`EndCapture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureEnded {
    /// Whether a capture was running.
    pub was_on: bool,
}

carries_nothing!(CaptureEnded { was_on: _ });

crate::operation::addresses_no_thread!(BeginCapture, CaptureBegun, EndCapture, CaptureEnded);

impl StatesFacts for BeginCapture {
    fn facts(&self) -> Facts<'_> {
        on_store()
    }
}

impl AnswerFacts for CaptureBegun {}

impl StatesFacts for EndCapture {
    fn facts(&self) -> Facts<'_> {
        on_store()
    }
}

impl AnswerFacts for CaptureEnded {}
