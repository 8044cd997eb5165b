//! Objects of JSON whose text is kept: a field is changed where it stands, and nothing else moves.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An object and its fields, each as it was written.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    text: &'a str,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads a text that is an object. Blanks around it are none of it.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        struct Fields;

        impl<'a> Visitor<'a> for Fields {
            type Value = Vec<(String, &'a RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = (&mut json).deserialize_map(Fields)?;
        json.end()?;
        Ok(Self { text, fields })
    }

    /// The text of it.
    pub(super) const fn text(&self) -> &'a str {
        self.text
    }

    /// A field as it stands there; the last of that name.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// A field, where it is what is asked for.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The fields in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The text with this value in the place of a field's; behind all others where there is none.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
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

/// An object to which values are given one after the other.
#[derive(Debug, Clone)]
pub(super) struct Patched(String);

impl Patched {
    /// Begins with a text that is an object.
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Puts a value in the place of a field's, or behind all others.
    pub(super) fn set(self, name: &str, value: &str) -> Self {
        Self(Object::parse(&self.0).expect("it was read as an object").with(name, value))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_changes_and_nothing_else_moves() {
        let text = " { \"a\" : 1.10 ,\"b\":[ 1 ],\n\"a\": \"\\u00e9\", \"c\":{}} ";
        let object = Object::parse(text).unwrap();
        assert_eq!(object.raw("a").unwrap().get(), "\"\\u00e9\"");
        assert_eq!(object.get::<String>("a").unwrap(), "é");
        assert_eq!(object.get::<u64>("a"), None);
        assert_eq!(object.with("a", "0"), text.trim().replace("\"\\u00e9\"", "0"));
        assert_eq!(object.with("b", "0"), text.trim().replace("[ 1 ]", "0"));
        assert_eq!(Object::parse("{ }").unwrap().with("n", "1"), "{\"n\":1}");
        assert_eq!(Object::parse("{\"a\":1 }").unwrap().with("n", "1"), "{\"a\":1,\"n\":1}");
        for text in ["", "null", "[]", "{", "{}x", "{\"a\"}", "3"] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }
}
