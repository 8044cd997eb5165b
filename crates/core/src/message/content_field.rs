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

use crate::{Content, Delta, Message, MessageId, Metadata, ThreadId, Title, message::Length};

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

/// Implements [`CarriesContent`] from one pattern without `..`, whose bound fields are listed as values: those with one value
/// each, and behind `each` those with any number, such as an `Option`.
///
/// `Type { pattern } for (thread, message) => [FieldValue(field), …], each [FieldValue(fields), …]`
macro_rules! carries_content {
    (
        $name:ident { $($pattern:tt)* } for ($thread:ident $(, $message:ident)?) =>
        [$($value:ident($field:ident)),* $(,)?] $(, each [$($each:ident($fields:ident)),+])?
    ) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&self) -> Vec<$crate::message::ContentField<'_>> {
                use $crate::message::{ContentField, FieldValue};
                let Self { $($pattern)* } = self;
                let message = $crate::message::carries_content!(@optional $($message)?);
                let at = |value| ContentField { thread: $thread, message, value };
                let content_fields = vec![$(at(FieldValue::$value($field))),*];
                $(
                    let mut content_fields = content_fields;
                    $(content_fields.extend($fields.iter().map(|field| at(FieldValue::$each(field))));)+
                )?
                content_fields
            }

            fn content_fields_mut(&mut self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                use $crate::message::{ContentFieldMut, FieldValueMut};
                let Self { $($pattern)* } = self;
                let ($thread, message) = (&*$thread, $crate::message::carries_content!(@optional $(&*$message)?));
                let at = |value| ContentFieldMut { thread: $thread, message, value };
                let content_fields = vec![$(at(FieldValueMut::$value($field))),*];
                $(
                    let mut content_fields = content_fields;
                    $(content_fields.extend($fields.iter_mut().map(|field| at(FieldValueMut::$each(field))));)+
                )?
                content_fields
            }
        }
    };
    (@optional) => { None };
    (@optional $message:expr) => { Some($message) };
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

/// Implements [`CarriesContent`] with the content fields of each part, from one pattern without `..`.
///
/// `Type { pattern } => parts`
macro_rules! carries_parts {
    ($name:ident { $($pattern:tt)* } => $parts:expr) => {
        impl $crate::message::CarriesContent for $name {
            fn content_fields(&self) -> Vec<$crate::message::ContentField<'_>> {
                let Self { $($pattern)* } = self;
                $parts.into_iter().flat_map($crate::message::CarriesContent::content_fields).collect()
            }

            fn content_fields_mut(&mut self) -> Vec<$crate::message::ContentFieldMut<'_>> {
                let Self { $($pattern)* } = self;
                $parts.into_iter().flat_map($crate::message::CarriesContent::content_fields_mut).collect()
            }
        }
    };
}
pub(crate) use carries_parts;

impl<T: CarriesContent> CarriesContent for Box<T> {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        (**self).content_fields()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        (**self).content_fields_mut()
    }
}

carries_content!(
    Message {
        tenant: _, thread, id, seq: _, role: _, state: _, revision: _, content, metadata, attachments: _,
        abandon_reason, lease: _, created_at: _, updated_at: _
    }
    for (thread, id) => [Whole(content), Metadata(metadata)], each [Reason(abandon_reason)]
);
