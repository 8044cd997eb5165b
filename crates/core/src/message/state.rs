use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Where a message is in its life: `Reserved → Streaming → Final | Abandoned`.
///
/// An explicit column of every store: the placeholder content `[]` is never used to *recognize* anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageState {
    /// The row has its id and its place in the thread, and no content yet.
    Reserved,
    /// Content is arriving.
    Streaming,
    /// The content is complete. Only an edit changes it.
    Final,
    /// The writer gave up, or died and was cleaned up after. The content is what had been committed.
    Abandoned,
}

impl MessageState {
    /// Whether a writer may still be at work on it: `Reserved` or `Streaming`.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Reserved | Self::Streaming)
    }

    /// The lower-case name, as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Streaming => "streaming",
            Self::Final => "final",
            Self::Abandoned => "abandoned",
        }
    }

    /// The state with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reserved, Self::Streaming, Self::Final, Self::Abandoned]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The ownership of an open message: its writer renews it with every partial update, and a sweep may abandon
/// the message once it has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// How long one renewal lasts.
    #[serde(with = "lease_milliseconds")]
    pub duration: Duration,
    /// When it ends unless it is renewed, by the clock of the pipeline.
    pub expires_at: Timestamp,
}

impl Lease {
    /// A lease of this duration that begins now.
    #[must_use]
    pub fn starting(now: Timestamp, duration: Duration) -> Self {
        Self { duration, expires_at: now.plus(duration) }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

pub(crate) mod lease_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
