use std::fmt;

use serde_json::value::RawValue;

use super::{Metadata, unshown::Length};

/// The longest text that an index keeps as it is. A longer one is kept as its hash.
const MAX_PLAIN_BYTES: usize = 64;

/// A value of metadata that a store can index: a string, an integer from -2^63 to 2^64 - 1, or a boolean.
///
/// Fractions, exponents, objects, arrays and `null` are not indexed, and neither is a string with half of a surrogate pair. Two
/// values are equal if their JSON means the same value: `"a"` equals `"\u0061"`, and `1` does not equal `"1"`.
///
/// ```
/// use throughline_core::{Metadata, MetadataScalar};
///
/// let metadata: Metadata = serde_json::from_str(r#"{"kind":"t\u006Fol","turn":7,"cost":1.5}"#)?;
/// assert_eq!(MetadataScalar::under(&metadata, "kind"), Some("tool".into()));
/// assert_eq!(MetadataScalar::under(&metadata, "turn"), Some(7_i64.into()));
/// assert_eq!(MetadataScalar::under(&metadata, "cost"), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MetadataScalar(Scalar);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Scalar {
    Bool(bool),
    /// From `i64::MIN` to `u64::MAX`.
    Integer(i128),
    Text(String),
}

impl MetadataScalar {
    /// Reads a JSON value. `None` if a store does not index it.
    #[must_use]
    pub fn from_json(json: &RawValue) -> Option<Self> {
        let json = json.get().trim_ascii();
        let scalar = match json.as_bytes().first()? {
            b't' | b'f' => Scalar::Bool(json == "true"),
            b'"' => Scalar::Text(serde_json::from_str(json).ok()?),
            b'-' | b'0'..=b'9' => {
                let number: i128 = json.parse().ok()?;
                let is_indexed = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number);
                Scalar::Integer(is_indexed.then_some(number)?)
            }
            _ => return None,
        };
        Some(Self(scalar))
    }

    /// Reads the value of a metadata field. `None` if there is none, or if a store does not index it.
    #[must_use]
    pub fn under(metadata: &Metadata, name: &str) -> Option<Self> {
        Self::from_json(metadata.get(name)?)
    }

    /// Returns the value as JSON.
    ///
    /// # Panics
    /// Never: text, integers and booleans serialize.
    #[must_use]
    pub fn to_json(&self) -> Box<RawValue> {
        let json = match &self.0 {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Text(text) => serde_json::to_string(text).expect("text serializes"),
        };
        RawValue::from_string(json).expect("a scalar is JSON")
    }

    /// Returns the text under which a store indexes the value: the value with its type, or the hash of a text that is longer than
    /// 64 bytes or has control characters. A store compares the value itself with each message that it finds.
    ///
    /// ```
    /// use throughline_core::MetadataScalar;
    ///
    /// assert_eq!(MetadataScalar::from("A-17").index_key(), "t:A-17");
    /// assert_eq!(MetadataScalar::from(17_u64).index_key(), "i:17");
    /// assert_eq!(MetadataScalar::from("x".repeat(1000)).index_key().len(), 66);
    /// ```
    #[must_use]
    pub fn index_key(&self) -> String {
        match &self.0 {
            Scalar::Bool(value) => format!("b:{value}"),
            Scalar::Integer(value) => format!("i:{value}"),
            Scalar::Text(text) if text.len() <= MAX_PLAIN_BYTES && !text.contains(char::is_control) => {
                format!("t:{text}")
            }
            Scalar::Text(text) => format!("h:{}", blake3::hash(text.as_bytes()).to_hex()),
        }
    }
}

/// Shows the length of a text, because content does not belong into logs.
impl fmt::Debug for MetadataScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Scalar::Bool(value) => value.fmt(f),
            Scalar::Integer(value) => value.fmt(f),
            Scalar::Text(text) => Length(text).fmt(f),
        }
    }
}

impl From<bool> for MetadataScalar {
    fn from(value: bool) -> Self {
        Self(Scalar::Bool(value))
    }
}

impl From<&str> for MetadataScalar {
    fn from(value: &str) -> Self {
        Self(Scalar::Text(value.to_owned()))
    }
}

impl From<String> for MetadataScalar {
    fn from(value: String) -> Self {
        Self(Scalar::Text(value))
    }
}

macro_rules! from_integer {
    ($($integer:ty),+) => {$(
        impl From<$integer> for MetadataScalar {
            fn from(value: $integer) -> Self {
                Self(Scalar::Integer(value.into()))
            }
        }
    )+};
}

from_integer!(i32, i64, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<MetadataScalar> {
        MetadataScalar::from_json(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn only_strings_booleans_and_integers_of_64_bits_are_indexed() {
        assert_eq!(read("true"), Some(true.into()));
        assert_eq!(read("-9223372036854775808"), Some(i64::MIN.into()));
        assert_eq!(read("18446744073709551615"), Some(u64::MAX.into()));
        assert_eq!(read(r#""\u0061""#), Some("a".into()));
        for json in
            ["18446744073709551616", "-9223372036854775809", "1.0", "1e2", "null", "[1]", "{}", r#""\ud800""#]
        {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_scalar_survives_its_json() {
        for scalar in ["".into(), "a\"\n\u{0}é".into(), true.into(), i64::MIN.into(), u64::MAX.into()] {
            assert_eq!(MetadataScalar::from_json(&scalar.to_json()), Some(scalar));
        }
    }

    #[test]
    fn different_scalars_have_different_index_keys() {
        let long = "x".repeat(65);
        let scalars: [MetadataScalar; 7] = [
            "1".into(),
            1_i64.into(),
            true.into(),
            "true".into(),
            "a\u{0}".into(),
            long.as_str().into(),
            "".into(),
        ];
        let mut keys: Vec<String> = scalars.iter().map(MetadataScalar::index_key).collect();
        assert!(keys.iter().all(|key| key.len() <= 66 && !key.contains(char::is_control)), "{keys:?}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }

    #[test]
    fn debug_shows_no_text() {
        assert_eq!(
            format!("{:?} {:?}", MetadataScalar::from("hunter2"), MetadataScalar::from(7_i64)),
            "7 bytes 7"
        );
    }
}
