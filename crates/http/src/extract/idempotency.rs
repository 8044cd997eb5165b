//! The header `Idempotency-Key`, and the keys and ids that the router derives.

use axum::{extract::FromRequestParts, http::request::Parts};
use throughline_core::{IdempotencyKey, TenantId};

use crate::{problem::Problem, state::RouterState};

/// The prefix of the keys that the router derives. A client cannot use it.
const RESERVED: &str = "throughline.http.";

/// The name of the header.
pub(crate) const KEY_HEADER: &str = "idempotency-key";

/// The header `Idempotency-Key`, if there is one.
pub(crate) struct Key(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<RouterState> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(Problem::invalid("the request has several headers `Idempotency-Key`"));
        }
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| Problem::invalid("the header `Idempotency-Key` is not UTF-8"))?;
        if text.starts_with(RESERVED) {
            return Err(Problem::invalid("an idempotency key must not begin with `throughline.http.`"));
        }
        let key = text
            .parse()
            .map_err(|error| Problem::invalid(format!("the header `Idempotency-Key`: {error}")))?;
        Ok(Self(Some(key)))
    }
}

/// Returns the 128-bit hash of these parts as 32 hexadecimal digits. No two lists of parts have the same input.
fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Returns the key of a call that its parts identify, such as the n-th append to a draft.
pub(crate) fn derived_key(purpose: &str, parts: &[&str]) -> Result<IdempotencyKey, Problem> {
    let key = format!("{RESERVED}{purpose}.{}", digest(parts));
    key.parse().map_err(|error| Problem::invalid(format!("the derived key: {error}")))
}

/// Returns the id of an item that a keyed request creates without naming an id: the same id for each repetition.
pub(crate) fn derived_id(purpose: &str, tenant: &TenantId, thread: &str, key: &IdempotencyKey) -> String {
    digest(&[purpose, tenant.as_str(), thread, key.as_str()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_differ_by_each_part() {
        let keys: Vec<_> = [&["a", "bc"][..], &["ab", "c"], &["abc"], &["a", "bc", ""]]
            .into_iter()
            .map(|parts| derived_key("append", parts).unwrap())
            .chain([derived_key("finish", &["a", "bc"]).unwrap()])
            .collect();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(index), "{key}");
        }
        assert_eq!(derived_key("append", &["a", "bc"]).unwrap(), keys[0]);
    }
}
