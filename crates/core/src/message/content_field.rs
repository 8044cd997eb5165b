//! The visitor of content fields.
//!
//! Every operation and every output lists its content fields in a pattern without `..`, so that a new operation or field does not
//! compile until it is listed. A layer that changes content uses this visitor and therefore covers all fields.
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

/// A field with content.
#[derive(Debug, Clone, Copy)]
pub struct ContentField<'a> {
    /// The thread of the field.
    pub thread: &'a ThreadId,
    /// The message of the field. `None` for a field of the whole thread.
    pub message: Option<&'a MessageId>,
    /// The value.
    pub value: FieldValue<'a>,
}

/// The value of a [`ContentField`]. The enum is exhaustive, so that a layer that rewrites content must handle a new kind.
#[derive(Clone, Copy)]
pub enum FieldValue<'a> {
    /// The whole content of a message.
    Whole(&'a Content),
    /// Appended content. A secret can be split over two of these.
    Delta(&'a Delta),
    /// Metadata of a message or a thread. In a patch, `null` removes a member.
    Metadata(&'a Metadata),
    /// The writer's reason for an abandoned message.
    Reason(&'a str),
    /// The title of a thread.
    Title(&'a Title),
    /// The preview of a thread: the beginning of a message.
    Preview(&'a str),
}

/// Shows the length of text, because content does not belong into logs.
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
    /// The bytes of the value: content and metadata as JSON, with the names of metadata.
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

/// A field with content, for a change.
#[derive(Debug)]
pub struct ContentFieldMut<'a> {
    /// The thread of the field.
    pub thread: &'a ThreadId,
    /// The message of the field. `None` for a field of the whole thread.
    pub message: Option<&'a MessageId>,
    /// The value.
    pub value: FieldValueMut<'a>,
}

/// The value of a [`ContentFieldMut`]. The enum is exhaustive, like [`FieldValue`].
pub enum FieldValueMut<'a> {
    /// The whole content of a message.
    Whole(&'a mut Content),
    /// Appended content. A secret can be split over two of these.
    Delta(&'a mut Delta),
    /// Metadata of a message or a thread. In a patch, `null` removes a member.
    Metadata(&'a mut Metadata),
    /// The writer's reason for an abandoned message.
    Reason(&'a mut String),
    /// The title of a thread.
    Title(&'a mut Title),
    /// The preview of a thread: the beginning of a message.
    Preview(&'a mut String),
}

/// Shows the length of text, because content does not belong into logs.
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

/// A value that lists its content fields.
pub trait CarriesContent {
    /// Returns every content field, for reading.
    fn content_fields(&self) -> Vec<ContentField<'_>>;

    /// Returns every content field, for a change. A list, so that a layer can await between fields.
    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>>;
}

/// Implements [`CarriesContent`] from one pattern without `..`, whose bound fields are listed as values.
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

/// Implements [`CarriesContent`] for a type without content, from one pattern without `..` over all fields.
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

/// Implements [`CarriesContent`] with the fields of each part.
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

/// The content fields of a message, for every output with a message.
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
