use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The state of a message: `Reserved → Streaming → Final | Abandoned`.
///
/// Every store has an explicit column for it. Empty content `[]` never *means* a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageState {
    /// The row has its id and its sequence number, but no content.
    Reserved,
    /// The message receives appends.
    Streaming,
    /// The content is complete. Only an edit can change it.
    Final,
    /// The writer stopped or died. The message keeps the content that was committed.
    Abandoned,
}

impl MessageState {
    /// Whether a writer can still write to the message: `Reserved` or `Streaming`.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Reserved | Self::Streaming)
    }

    /// The lower-case name, as in stores and in the wire format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Streaming => "streaming",
            Self::Final => "final",
            Self::Abandoned => "abandoned",
        }
    }

    /// Returns the state with this name.
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

/// The lease of an open message. The writer renews it with every partial update. After it has expired, the recovery of expired
/// drafts may abandon the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The duration of one renewal.
    #[serde(with = "lease_milliseconds")]
    pub duration: Duration,
    /// The time at which it expires without a renewal, by the clock of the pipeline.
    pub expires_at: Timestamp,
}

impl Lease {
    /// Returns a lease of this duration that begins at `now`.
    #[must_use]
    pub fn starting(now: Timestamp, duration: Duration) -> Self {
        Self { duration, expires_at: now.plus(duration) }
    }

    /// Whether the lease has expired.
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
