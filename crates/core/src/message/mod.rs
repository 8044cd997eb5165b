//! A message and its values.
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
mod cursor;
mod delta;
mod fragment;
mod metadata;
mod number;
mod parts;
mod role;
mod scalar;
mod state;
mod text;
pub(crate) use self::content::escaped_len;
pub(crate) use self::content_field::{carries_content, carries_nothing, carries_parts};
pub(crate) use self::delta::{bytes_between_brackets, text_block_len};
pub(crate) use self::parts::ContentParts;
pub(crate) use self::state::lease_milliseconds;
pub(crate) use self::unshown::{Length, debug_without_text};
mod timestamp;
mod title;
mod unshown;

use serde::{Deserialize, Serialize};

pub use self::{
    content::{Content, InvalidContent},
    content_field::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut},
    cursor::{ContentCursor, InvalidCursor},
    delta::{ContentBuffer, Delta},
    fragment::{ContentFragment, ContentSlice},
    metadata::{InvalidMetadata, Metadata, MetadataPatch},
    number::{AuditNumber, Generation, Position, Revision, Seq, SessionGeneration, SessionRevision},
    role::Role,
    scalar::MetadataScalar,
    state::{Lease, MessageState},
    timestamp::Timestamp,
    title::{InvalidTitle, Title},
};
use crate::{MessageId, TenantId, ThreadId, id::AttachmentKey};

/// One message of a thread, as a store returns it.
///
/// Every field is public and the struct is exhaustive on purpose, so that a backend or a layer that builds a message must
/// consider a new field.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The tenant of the message.
    pub tenant: TenantId,
    /// The thread of the message.
    pub thread: ThreadId,
    /// The id within the thread, which never changes.
    pub id: MessageId,
    /// The sequence number: assigned by the store at the first commit, increasing, never reused.
    pub seq: Seq,
    /// The author.
    pub role: Role,
    /// The state.
    pub state: MessageState,
    /// The revision, which increases by one with each change of content or state.
    pub revision: Revision,
    /// The content.
    pub content: Content,
    /// The metadata of the host.
    pub metadata: Metadata,
    /// The keys of the attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentKey>,
    /// The writer's reason for an abandoned message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandon_reason: Option<String>,
    /// The lease of the writer, while the message is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The time of the first write. It never changes.
    pub created_at: Timestamp,
    /// The time of the last change. It never decreases.
    pub updated_at: Timestamp,
}

debug_without_text!(Message { tenant, thread, id, seq, role, state, revision, content, metadata, attachments, lease, created_at, updated_at } unshown { abandon_reason });
