//! The one visitor over content.
//!
//! Every operation and every output says where its content is, by destructuring itself without `..`: a new
//! operation or a new field does not compile before it has said so. A layer that touches content uses this
//! visitor and is complete by construction.
//!
//! ```
//! use throughline_core::{Content, NewMessage, messages::{Add, CarriesContent, FieldValueMut}};
//!
//! let mut add = Add::new("t".parse()?, NewMessage::user("my key is hunter2"));
//! for field in add.content_fields_mut() {
//!     if let FieldValueMut::Whole(content) = field.value {
//!         *content = Content::from_json(content.as_json().replace("hunter2", "***"))?;
//!     }
//! }
//! assert_eq!(add.content.as_json(), r#"[{"type":"text","text":"my key is ***"}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use crate::{Content, Delta, MessageId, Metadata, ThreadId, Title, message::Length};

/// One place that holds content.
#[derive(Debug, Clone, Copy)]
pub struct ContentField<'a> {
    /// The thread it belongs to.
    pub thread: &'a ThreadId,
    /// The message it belongs to; none where it belongs to the thread as a whole.
    pub message: Option<&'a MessageId>,
    /// What is there.
    pub value: FieldValue<'a>,
}

/// What a [`ContentField`] holds. Exhaustive, so that a layer that rewrites content does not compile before it handles a new kind.
#[derive(Clone, Copy)]
pub enum FieldValue<'a> {
    /// The whole content of a message.
    Whole(&'a Content),
    /// Content that is appended: a secret may be split over two of these.
    Delta(&'a Delta),
    /// Metadata, of a message or of a thread; in a patch `null` stands for "clear".
    Metadata(&'a Metadata),
    /// Why a message was abandoned, in the writer's words.
    Reason(&'a str),
    /// What a thread is called.
    Title(&'a Title),
    /// The beginning of a message, as a list of threads shows it.
    Preview(&'a str),
}

/// Text shows as its length: content does not belong into logs.
impl fmt::Debug for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(content) => f.debug_tuple("Whole").field(content).finish(),
            Self::Delta(delta) => f.debug_tuple("Delta").field(delta).finish(),
            Self::Metadata(metadata) => f.debug_tuple("Metadata").field(metadata).finish(),
            Self::Reason(text) => f.debug_tuple("Reason").field(&Length(*text)).finish(),
            Self::Title(title) => f.debug_tuple("Title").field(title).finish(),
            Self::Preview(text) => f.debug_tuple("Preview").field(&Length(*text)).finish(),
        }
    }
}

impl FieldValue<'_> {
    /// The bytes that it holds: of content and metadata as JSON, the names of metadata included.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Whole(content) => content.byte_len(),
            Self::Delta(delta) => delta.byte_len(),
            Self::Metadata(metadata) => metadata.byte_len(),
            Self::Reason(text) | Self::Preview(text) => text.len(),
            Self::Title(title) => title.as_str().len(),
        }
    }
}

/// One place that holds content, to be changed.
#[derive(Debug)]
pub struct ContentFieldMut<'a> {
    /// The thread it belongs to.
    pub thread: &'a ThreadId,
    /// The message it belongs to; none where it belongs to the thread as a whole.
    pub message: Option<&'a MessageId>,
    /// What is there.
    pub value: FieldValueMut<'a>,
}

/// What a [`ContentFieldMut`] holds. Exhaustive, as [`FieldValue`] is.
pub enum FieldValueMut<'a> {
    /// The whole content of a message.
    Whole(&'a mut Content),
    /// Content that is appended: a secret may be split over two of these.
    Delta(&'a mut Delta),
    /// Metadata, of a message or of a thread; in a patch `null` stands for "clear".
    Metadata(&'a mut Metadata),
    /// Why a message was abandoned, in the writer's words.
    Reason(&'a mut String),
    /// What a thread is called.
    Title(&'a mut Title),
    /// The beginning of a message, as a list of threads shows it.
    Preview(&'a mut String),
}

/// Text shows as its length: content does not belong into logs.
impl fmt::Debug for FieldValueMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(content) => f.debug_tuple("Whole").field(content).finish(),
            Self::Delta(delta) => f.debug_tuple("Delta").field(delta).finish(),
            Self::Metadata(metadata) => f.debug_tuple("Metadata").field(metadata).finish(),
            Self::Reason(text) => f.debug_tuple("Reason").field(&Length(&**text)).finish(),
            Self::Title(title) => f.debug_tuple("Title").field(title).finish(),
            Self::Preview(text) => f.debug_tuple("Preview").field(&Length(&**text)).finish(),
        }
    }
}

/// Says where content is.
pub trait CarriesContent {
    /// Every place that holds content, to be read.
    fn content_fields(&self) -> Vec<ContentField<'_>>;

    /// Every place that holds content, to be changed. A list, so that a layer may await at each place.
    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>>;
}

/// Implements [`CarriesContent`] from one pattern without `..`; the bound fields are then named as slots.
///
/// `Type { pattern } for (thread, message) => [FieldValue(field), …]`
macro_rules! carries_content {
    ($name:ident { $($pattern:tt)* } for ($thread:ident, $message:ident) => [$($value:ident($field:ident)),* $(,)?]) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&self) -> Vec<$crate::message::ContentField<'_>> {
                let Self { $($pattern)* } = self;
                let _ = ($thread, $message);
                vec![$($crate::message::ContentField {
                    thread: $thread,
                    message: Some($message),
                    value: $crate::message::FieldValue::$value($field),
                }),*]
            }

            fn content_fields_mut(&mut self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                let Self { $($pattern)* } = self;
                let _ = (&$thread, &$message);
                vec![$($crate::message::ContentFieldMut {
                    thread: $thread,
                    message: Some($message),
                    value: $crate::message::FieldValueMut::$value($field),
                }),*]
            }
        }
    };
}
pub(crate) use carries_content;

/// Implements [`CarriesContent`] of what carries none, from one pattern without `..` that says so of every field.
macro_rules! carries_nothing {
    ($name:ident { $($pattern:tt)* }) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&self) -> Vec<$crate::message::ContentField<'_>> {
                let Self { $($pattern)* } = self;
                Vec::new()
            }

            fn content_fields_mut(&mut self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                let Self { $($pattern)* } = self;
                Vec::new()
            }
        }
    };
}
pub(crate) use carries_nothing;

/// Implements [`CarriesContent`] by asking each part in turn.
macro_rules! carries_parts {
    ($name:ident, $self:ident => $shared:expr, $exclusive:expr) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&$self) -> Vec<$crate::message::ContentField<'_>> {
                $shared.into_iter().flat_map($crate::message::CarriesContent::content_fields).collect()
            }

            fn content_fields_mut(&mut $self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                $exclusive.into_iter().flat_map($crate::message::CarriesContent::content_fields_mut).collect()
            }
        }
    };
}
pub(crate) use carries_parts;

/// A message's own content fields, for every output that holds one.
impl CarriesContent for crate::Message {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self {
            tenant: _,
            thread,
            id: message,
            seq: _,
            role: _,
            state: _,
            revision: _,
            content,
            metadata,
            attachments: _,
            abandon_reason,
            lease: _,
            created_at: _,
            updated_at: _,
        } = self;
        let at = |value| ContentField { thread, message: Some(message), value };
        let mut content_fields = vec![at(FieldValue::Whole(content)), at(FieldValue::Metadata(metadata))];
        content_fields.extend(abandon_reason.as_deref().map(|reason| at(FieldValue::Reason(reason))));
        content_fields
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self {
            tenant: _,
            thread,
            id: message,
            seq: _,
            role: _,
            state: _,
            revision: _,
            content,
            metadata,
            attachments: _,
            abandon_reason,
            lease: _,
            created_at: _,
            updated_at: _,
        } = self;
        let (thread, message) = (&*thread, &*message);
        let at = |value| ContentFieldMut { thread, message: Some(message), value };
        let mut content_fields =
            vec![at(FieldValueMut::Whole(content)), at(FieldValueMut::Metadata(metadata))];
        content_fields.extend(abandon_reason.as_mut().map(|reason| at(FieldValueMut::Reason(reason))));
        content_fields
    }
}
