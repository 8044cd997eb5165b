//! The check of numbers in row images. A store increments these numbers, and adds some of them up.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};

/// The largest accepted number. A store counts up to `i64::MAX`, so that this limit leaves space for sums and increments.
pub(crate) const LARGEST: u64 = 1 << 60;

/// Checks every number in `value`, which is the field `name`. It visits each field once; content and metadata are text here.
///
/// # Errors
/// The path of the first number that is too large.
pub(crate) fn check(name: &'static str, value: &impl Serialize) -> Result<(), NotCountable> {
    Walk { path: Vec::new() }.within(name, value)
}

/// A number that is too large to count on from.
#[derive(Debug)]
pub(crate) struct NotCountable(String);

impl Display for NotCountable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotCountable {}

impl ser::Error for NotCountable {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

/// The path of fields to the current value.
struct Walk {
    path: Vec<&'static str>,
}

impl Walk {
    fn within<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), NotCountable> {
        self.path.push(name);
        value.serialize(&mut *self)?;
        self.path.pop();
        Ok(())
    }
}

/// Methods for values without a number that is too large.
macro_rules! passes {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, _: $type) -> Result<(), NotCountable> {
            Ok(())
        })*
    };
}

impl Serializer for &mut Walk {
    type Ok = ();
    type Error = NotCountable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    passes! {
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_f32(f32) serialize_f64(f64)
        serialize_char(char) serialize_str(&str) serialize_bytes(&[u8]) serialize_unit_struct(&'static str)
    }

    fn serialize_u64(self, number: u64) -> Result<(), NotCountable> {
        if number <= LARGEST {
            return Ok(());
        }
        let field = self.path.join(".");
        Err(NotCountable(format!("`{field}` is {number}, above the largest accepted number {LARGEST}")))
    }

    fn serialize_none(self) -> Result<(), NotCountable> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotCountable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotCountable> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), NotCountable> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotCountable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotCountable> {
        self.within(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotCountable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, NotCountable> {
        self.path.push(variant);
        Ok(self)
    }
}

/// Methods for values whose parts have no names.
macro_rules! unnamed {
    ($($trait:ident $method:ident)*) => {
        $(impl ser::$trait for &mut Walk {
            type Ok = ();
            type Error = NotCountable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCountable> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), NotCountable> {
                Ok(())
            }
        })*
    };
}

unnamed! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl ser::SerializeMap for &mut Walk {
    type Ok = ();
    type Error = NotCountable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), NotCountable> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCountable> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), NotCountable> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Walk {
    type Ok = ();
    type Error = NotCountable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NotCountable> {
        self.within(name, value)
    }

    fn end(self) -> Result<(), NotCountable> {
        Ok(())
    }
}

impl ser::SerializeStructVariant for &mut Walk {
    type Ok = ();
    type Error = NotCountable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NotCountable> {
        self.within(name, value)
    }

    fn end(self) -> Result<(), NotCountable> {
        self.path.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST, check};
    use crate::{
        Content, MessageId, Metadata, NewMessage, Revision, Role, Seq, TenantId, Timestamp,
        operation::{Add, GoneImage, Image, ImagePart},
    };

    #[test]
    fn a_number_that_is_too_large_is_named_by_its_field() {
        let gone = |seq: u64| {
            let left = Some((Seq::new(seq), Vec::new()));
            let (thread, id) = ("t".parse().unwrap(), "m".parse().unwrap());
            let gone = GoneImage { thread, id, revision: Revision::FIRST, left };
            vec![Image::new(TenantId::default(), ImagePart::Gone(gone))]
        };
        check("images", &gone(LARGEST)).unwrap();
        for seq in [LARGEST + 1, u64::MAX] {
            let refused = check("images", &gone(seq)).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("`images.part.gone.left` is {seq}, above")), "{refused}");
        }
    }

    #[test]
    fn numbers_in_content_and_metadata_are_text() {
        let id: MessageId = "m".parse().unwrap();
        let content = Content::from_json("[18446744073709551615]").unwrap();
        let metadata: Metadata = serde_json::from_str(r#"{"k":18446744073709551615}"#).unwrap();
        let new = NewMessage::new(Role::User, content).with_id(id).with_metadata(metadata);
        let add = Add::new("t".parse().unwrap(), new);
        let message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(i64::MAX));
        check("image", &Image::new(TenantId::default(), ImagePart::Message(Box::new(message.into()))))
            .unwrap();
    }
}
