//! A message and the values that it is made of.
//!
//! ```
//! use throughline_core::{Content, Delta, MessageState, Metadata};
//!
//! // Content is raw JSON: an array of blocks, kept byte for byte.
//! let content = Content::from_json(r#"[{"type":"text","text":"4.10"}, 1.10]"#)?;
//! assert_eq!(content.as_json(), r#"[{"type":"text","text":"4.10"}, 1.10]"#);
//! assert_eq!(Content::text("hi").as_json(), r#"[{"type":"text","text":"hi"}]"#);
//!
//! // Metadata is a map of raw JSON values.
//! let mut metadata = Metadata::new();
//! metadata.set("channel", &"telegram")?;
//! assert_eq!(metadata.get("channel").unwrap().get(), "\"telegram\"");
//! assert!(MessageState::Streaming.is_open());
//! # let _ = Delta::text("x");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod content_field;
mod delta;
mod metadata;
mod number;
mod role;
mod state;
mod text;
pub(crate) use self::content::escaped_len;
pub(crate) use self::content_field::{carries_content, carries_nothing, carries_parts};
pub(crate) use self::delta::{bytes_between_brackets, text_block_len};
pub(crate) use self::state::lease_milliseconds;
pub(crate) use self::unshown::{Length, debug_without_text};
mod timestamp;
mod title;
mod unshown;

use serde::{Deserialize, Serialize};

pub use self::{
    content::{Content, InvalidContent},
    content_field::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut},
    delta::{ContentBuffer, Delta},
    metadata::{InvalidMetadata, Metadata, MetadataPatch},
    number::{AuditNumber, Generation, Position, Revision, Seq, SessionGeneration, SessionRevision},
    role::Role,
    state::{Lease, MessageState},
    timestamp::Timestamp,
    title::{InvalidTitle, Title},
};
use crate::{MessageId, TenantId, ThreadId, id::AttachmentKey};

/// One entry of a thread, as a store answers it.
///
/// Every field is public and the struct is exhaustive on purpose: a backend or a layer that builds a message
/// must be made to look again when a field is added.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Whose message it is.
    pub tenant: TenantId,
    /// The conversation it belongs to.
    pub thread: ThreadId,
    /// Its name inside the thread; stable from the reservation on.
    pub id: MessageId,
    /// Its place in the thread: assigned by the store at the first commit, increasing, never reused.
    pub seq: Seq,
    /// Who said it.
    pub role: Role,
    /// Where it is in its life.
    pub state: MessageState,
    /// Raised by one at each change of content or state.
    pub revision: Revision,
    /// The content.
    pub content: Content,
    /// The host's own facts about it.
    pub metadata: Metadata,
    /// The keys of the attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// Why it was abandoned, where the writer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandon_reason: Option<String>,
    /// Until when its writer is taken to be alive; only while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// When it was first written. Never changed afterwards.
    pub created_at: Timestamp,
    /// When it was last changed. Never decreases.
    pub updated_at: Timestamp,
}

debug_without_text!(Message { tenant, thread, id, seq, role, state, revision, content, metadata, attachments, lease, created_at, updated_at } unshown { abandon_reason });
