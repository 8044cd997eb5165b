//! Bearer tokens, kept as hashes.

use std::{fmt, future::Future};

use axum::http::{header, request::Parts};

use super::{Authenticate, Caller, Refusal};

/// Callers by bearer token: `Authorization: Bearer <token>`.
///
/// It keeps only the BLAKE3 hash of each token, and compares hashes in constant time. A hash without a salt protects only a
/// random token: use at least 128 random bits.
///
/// ```
/// use throughline_http::{BearerTokens, Caller};
///
/// let alice = Caller::new("alice".parse()?).with_actor("alice@cli");
/// let hash = BearerTokens::hash("2f9c3d0b6f4c4a0e8d2f"); // keep this text in a configuration, not the token
/// let tokens = BearerTokens::new().with_hash(&hash, alice)?;
/// # let _ = tokens;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct BearerTokens {
    callers: Vec<(blake3::Hash, Caller)>,
}

/// A text that is not the hash of a token: it needs 64 hexadecimal digits. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTokenHash;

impl fmt::Display for InvalidTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hash of a token has 64 hexadecimal digits")
    }
}

impl std::error::Error for InvalidTokenHash {}

impl BearerTokens {
    /// Returns a set without tokens, which refuses every request.
    #[must_use]
    pub const fn new() -> Self {
        Self { callers: Vec::new() }
    }

    /// Returns the hash of a token, as 64 hexadecimal digits.
    #[must_use]
    pub fn hash(token: &str) -> String {
        blake3::hash(token.as_bytes()).to_hex().to_string()
    }

    /// Adds a token. A later entry of the same token replaces the earlier one.
    #[must_use]
    pub fn with_token(mut self, token: &str, caller: Caller) -> Self {
        self.callers.push((blake3::hash(token.as_bytes()), caller));
        self
    }

    /// Adds a token by its [hash](Self::hash).
    ///
    /// # Errors
    /// [`InvalidTokenHash`] if the text is no hash.
    pub fn with_hash(mut self, hash: &str, caller: Caller) -> Result<Self, InvalidTokenHash> {
        let hash = blake3::Hash::from_hex(hash).map_err(|_| InvalidTokenHash)?;
        self.callers.push((hash, caller));
        Ok(self)
    }

    fn caller_of(&self, token: &str) -> Option<&Caller> {
        let hash = blake3::hash(token.as_bytes());
        let mut found = None;
        // Every entry is compared, in constant time each, so that the time says nothing about the match.
        for (known, caller) in &self.callers {
            if *known == hash {
                found = Some(caller);
            }
        }
        found
    }
}

/// Shows the number of tokens only.
impl fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerTokens({} tokens)", self.callers.len())
    }
}

/// Returns the token of the header `Authorization`.
pub(super) fn token_of(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_single = values.next().is_none();
    (is_single && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

impl Authenticate for BearerTokens {
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send {
        let caller = token_of(parts).and_then(|token| self.caller_of(token)).cloned();
        std::future::ready(caller.ok_or_else(|| Refusal::unauthenticated("a known bearer token is required")))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn caller(tokens: &BearerTokens, header: Option<&str>) -> Option<String> {
        let mut request = Request::builder();
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let caller = token_of(&parts).and_then(|token| tokens.caller_of(token));
        caller.map(|caller| caller.tenant().to_string())
    }

    #[test]
    fn a_token_names_its_caller_and_no_other_text_does() {
        let tokens = BearerTokens::new()
            .with_token("one", Caller::new("alice".parse().unwrap()))
            .with_hash(&BearerTokens::hash("two"), Caller::new("bob".parse().unwrap()))
            .unwrap();
        for (header, tenant) in [
            (Some("Bearer one"), Some("alice")),
            (Some("bearer  two"), Some("bob")),
            (Some("Bearer three"), None),
            (Some("Bearer"), None),
            (Some("Bearer "), None),
            (Some("Basic one"), None),
            (Some("one"), None),
            (None, None),
        ] {
            assert_eq!(caller(&tokens, header).as_deref(), tenant, "{header:?}");
        }
        assert_eq!(
            BearerTokens::new().with_hash("xy", Caller::new("a".parse().unwrap())).err(),
            Some(InvalidTokenHash)
        );
    }

    #[test]
    fn a_later_entry_of_a_token_replaces_the_earlier_one() {
        let tokens = BearerTokens::new()
            .with_token("one", Caller::new("alice".parse().unwrap()))
            .with_token("one", Caller::new("bob".parse().unwrap()));
        assert_eq!(caller(&tokens, Some("Bearer one")).as_deref(), Some("bob"));
    }
}
