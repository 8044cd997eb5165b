//! JSON objects that keep their text: a change of one field keeps all other bytes.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An object and its fields, each with its original text.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    text: &'a str,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Parses a text that is an object. It removes whitespace around it.
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

    /// Returns its text.
    pub(super) const fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the text of a field; of duplicate fields, the last one.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// Returns a field, if it has the requested type.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// Returns the fields in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Returns the text with this value for a field; a new field becomes the last one.
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

/// An object whose fields are set one after the other.
#[derive(Debug, Clone)]
pub(super) struct Patched(String);

impl Patched {
    /// Starts with a text that is an object.
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Sets the value of a field; a new field becomes the last one.
    pub(super) fn set(self, name: &str, value: &str) -> Self {
        Self(Object::parse(&self.0).expect("it was read as an object").with(name, value))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Returns a text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
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
