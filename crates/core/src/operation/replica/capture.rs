use serde::{Deserialize, Serialize};

use crate::{message::carries_nothing, replica::ImageCursor};

/// Begins to note in the store which of its rows are changed, for who copies it by [`ReadImages`](crate::operation::ReadImages). Where that is done
/// already it goes on; the answer is where a further copy begins.
///
/// A store that notes it writes a little more with each change. What is noted is one entry for each row, however often that is
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginCapture {
    /// Whether the copy begins with all that is there. Otherwise it begins with the next change: for a copy that is equal now.
    pub whole: bool,
}

impl BeginCapture {
    /// For a copy of all that is there.
    pub const WHOLE: Self = Self { whole: true };
    /// For a copy that is equal by now.
    pub const FROM_NOW: Self = Self { whole: false };
}

carries_nothing!(BeginCapture { whole: _ });

/// The answer to [`BeginCapture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureBegun {
    /// Where the copy begins.
    pub cursor: ImageCursor,
}

carries_nothing!(CaptureBegun { cursor: _ });

/// Ends the noting. Every cursor of it is [`TooOld`](crate::ErrorKind::TooOld) then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndCapture {}

carries_nothing!(EndCapture {});

/// The answer to [`EndCapture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureEnded {
    /// Whether it was under way.
    pub was_on: bool,
}

carries_nothing!(CaptureEnded { was_on: _ });
