//! JSON objects that keep their text: a change of one field keeps all other bytes.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserialize,
    de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The most fields of an object that is read from a file. A field of a few bytes takes ten times as many in memory.
pub(crate) const MAX_FIELDS: usize = 1_000;

/// The reason why a text of a file is not read as an object.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The text is no object.
    NoObject(serde_json::Error),
    /// The object has more than [`MAX_FIELDS`].
    TooManyFields,
}

/// An object and its fields, each with its original text.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    text: &'a str,
    fields: Vec<(Name<'a>, &'a RawValue)>,
}

/// The name of a field, or a text, which borrows from the JSON unless it has escapes.
#[derive(Debug, Clone, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// Parses a text of a file that is an object with at most [`MAX_FIELDS`]. It removes whitespace around it.
    pub(crate) fn read(text: &'a str) -> Result<Self, ReadError> {
        Self::read_up_to(MAX_FIELDS, text)
    }

    /// Parses a text of a file that is an object with at most `max` fields.
    pub(crate) fn read_up_to(max: usize, text: &'a str) -> Result<Self, ReadError> {
        let exceeds = Cell::new(false);
        Self::parse_up_to(max, &exceeds, text).map_err(|error| match exceeds.get() {
            true => ReadError::TooManyFields,
            false => ReadError::NoObject(error),
        })
    }

    /// Parses a text that is an object, with any number of fields.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        Self::parse_up_to(usize::MAX, &Cell::new(false), text)
    }

    fn parse_up_to(max: usize, exceeds: &Cell<bool>, text: &'a str) -> Result<Self, serde_json::Error> {
        struct Fields<'m> {
            max: usize,
            exceeds: &'m Cell<bool>,
        }

        impl<'a> Visitor<'a> for Fields<'_> {
            type Value = Vec<(Name<'a>, &'a RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    if fields.len() == self.max {
                        self.exceeds.set(true);
                        return Err(M::Error::custom("too many fields"));
                    }
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = (&mut json).deserialize_map(Fields { max, exceeds })?;
        json.end()?;
        Ok(Self { text, fields })
    }

    /// Returns whether a file may have this object with so many more fields.
    pub(crate) const fn has_space_for(&self, more: usize) -> bool {
        self.fields.len() + more <= MAX_FIELDS
    }

    /// Returns its text.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the text of a field; of duplicate fields, the last one.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().rev().find(|(field, _)| field.0 == name).map(|(_, value)| *value)
    }

    /// Returns a field, if it has the requested type.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// Returns a field that is a text. It borrows from the text of the object, unless it has escapes.
    pub(crate) fn str(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get::<Name<'a>>(name).map(|text| text.0)
    }

    /// Returns the fields in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (&*name.0, *value))
    }

    /// Returns the text with this value for a field; a new field becomes the last one.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        match self.raw(name) {
            Some(there) => {
                let begin = there.get().as_ptr().addr() - self.text.as_ptr().addr();
                let end = begin + there.get().len();
                [&self.text[..begin], value, &self.text[end..]].concat()
            }
            None => {
                let inside = self.text[..self.text.len() - 1].trim_end();
                let comma = if self.fields.is_empty() { "" } else { "," };
                let name = serde_json::to_string(name).expect("a text serializes");
                format!("{inside}{comma}{name}:{value}}}")
            }
        }
    }
}

/// An object whose fields are set one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Patched(String);

impl Patched {
    /// Starts with a text that is an object.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Sets the value of a field; a new field becomes the last one.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        Self(Object::parse(&self.0).expect("it was read as an object").with(name, value))
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// Calls `take` with each element of an array; it keeps no list of all elements.
pub(crate) fn each_element<'a>(
    array: &'a RawValue,
    take: impl FnMut(&'a RawValue),
) -> serde_json::Result<()> {
    struct Elements<F>(F);

    impl<'a, F: FnMut(&'a RawValue)> Visitor<'a> for Elements<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
            while let Some(element) = array.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }

    serde_json::Deserializer::from_str(array.get()).deserialize_seq(Elements(take))
}

/// Returns a text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_field_keeps_all_other_bytes() {
        let text = " { \"a\" : 1.10 ,\"b\":[ 1 ],\n\"a\": \"\\u00e9\", \"c\":{}} ";
        let object = Object::parse(text).unwrap();
        assert_eq!(object.raw("a").unwrap().get(), "\"\\u00e9\"");
        assert_eq!(object.get::<String>("a").unwrap(), "é");
        assert_eq!((object.str("a").as_deref(), object.str("b")), (Some("é"), None));
        assert_eq!(object.get::<u64>("a"), None);
        assert_eq!(object.with("a", "0"), text.trim().replace("\"\\u00e9\"", "0"));
        assert_eq!(object.with("b", "0"), text.trim().replace("[ 1 ]", "0"));
        assert_eq!(Object::parse("{ }").unwrap().with("n", "1"), "{\"n\":1}");
        assert_eq!(Object::parse("{\"a\":1 }").unwrap().with("n", "1"), "{\"a\":1,\"n\":1}");
        for text in ["", "null", "[]", "{", "{}x", "{\"a\"}", "3"] {
            assert!(Object::parse(text).is_err(), "{text}");
            assert!(matches!(Object::read(text), Err(ReadError::NoObject(_))), "{text}");
        }
    }

    #[test]
    fn an_object_of_a_file_has_at_most_1000_fields() {
        let of = |fields: usize| format!("{{{}}}", vec!["\"a\":1"; fields].join(","));
        let (most, more) = (of(MAX_FIELDS), of(MAX_FIELDS + 1));
        let read = Object::read(&most).unwrap();
        assert_eq!(
            (read.fields().count(), read.has_space_for(0), read.has_space_for(1)),
            (1_000, true, false)
        );
        assert!(matches!(Object::read(&more), Err(ReadError::TooManyFields)));
        assert_eq!(Object::parse(&more).unwrap().fields().count(), 1_001);
    }
}
