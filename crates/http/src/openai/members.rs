//! The members of a JSON object, in order, each value with its original bytes.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

/// The members of an object in their order. A repeated name stays repeated.
#[derive(Debug, Clone, Default)]
pub(super) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Returns the first member with this name.
    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Returns the first member with this name, if it is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Removes every member with this name, and returns the first one.
    pub(super) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let mut first = None;
        self.0.retain_mut(|(known, value)| {
            let is_it = known == name;
            if is_it && first.is_none() {
                first = Some(value.clone());
            }
            !is_it
        });
        first
    }

    /// Appends a member.
    pub(super) fn push(&mut self, name: &str, value: Box<RawValue>) {
        self.0.push((name.to_owned(), value));
    }

    /// Appends the members of another object.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

/// Returns a value as raw JSON.
pub(super) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("the value serializes into memory")
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_its_order_its_repeated_names_and_its_bytes() {
        let json = r#"{"z":1.10,"a":18446744073709551616,"z":"\ud800","o":{ "b" : [1, 2] }}"#;
        let mut members: Members = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), json);
        assert_eq!(members.get("z").unwrap().get(), "1.10");
        assert_eq!((members.text("a"), members.text("z")), (None, None));
        assert_eq!(members.take("z").unwrap().get(), "1.10");
        assert_eq!(
            serde_json::to_string(&members).unwrap(),
            r#"{"a":18446744073709551616,"o":{ "b" : [1, 2] }}"#
        );
        assert!(serde_json::from_str::<Members>("[]").is_err());
    }
}
