//! Numbers of the API: whole numbers up to `i64::MAX`, which every store can keep.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

const MAX: u64 = i64::MAX as u64;

/// A sequence number, revision, generation or position in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counter(u64);

impl Counter {
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Counter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(value) if is_number && value <= MAX => Ok(Self(value)),
            _ => Err("is not a whole number from 0 to 9223372036854775807"),
        }
    }
}

impl<'de> Deserialize<'de> for Counter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        if value > MAX {
            return Err(de::Error::custom("the number is larger than 9223372036854775807"));
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_store_can_keep_is_refused() {
        for (text, value) in [
            ("0", Some(0)),
            ("9223372036854775807", Some(MAX)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("", None),
            (" 1", None),
        ] {
            assert_eq!(text.parse::<Counter>().ok().map(Counter::get), value, "{text}");
        }
        assert_eq!(serde_json::from_str::<Counter>("7").unwrap().get(), 7);
        assert!(serde_json::from_str::<Counter>("9223372036854775808").is_err());
    }
}
