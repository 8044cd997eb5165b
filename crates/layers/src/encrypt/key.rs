use std::{fmt, sync::Arc};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};

use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// The name of a key: 1 to 64 ASCII letters, digits, `-` and `_`. The store keeps it next to each ciphertext, so it is
/// no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Validates `text` and returns the name.
    ///
    /// # Errors
    /// `Invalid` when the text is empty, too long, or contains another character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all(fits) {
            let detail = "the name of a key is not 1 to 64 letters, digits, `-` and `_` of ASCII";
            return Err(PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied));
        }
        Ok(Self(Arc::from(text)))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of a new thread key. No key of a key ring can have such a name.
    pub(super) fn thread_key(random: &[u8; 16]) -> Self {
        Self(format!("t.{:032x}", u128::from_be_bytes(*random)).into())
    }

    /// Returns the name as the store has it, without validation.
    pub(super) fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub(super) fn is_thread_key(&self) -> bool {
        self.0.starts_with("t.")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

impl std::str::FromStr for KeyId {
    type Err = PersistError;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

/// A secret of 256 bits with its name. It cannot be cloned or printed, and it is wiped from memory when it is dropped.
///
/// ```
/// use throughline_layers::encrypt::Key;
///
/// // From the host's key service or the operating system's keychain, never from source code.
/// let mut secret = [7; 32];
/// let key = Key::new("2026-11".parse()?, &secret);
/// secret.fill(0);
/// assert_eq!(format!("{key:?}"), "Key(2026-11)");
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
pub struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl Key {
    /// Returns the key with this name. The caller wipes its own copy of `secret`.
    #[must_use]
    pub fn new(id: KeyId, secret: &[u8; 32]) -> Self {
        Self { id, cipher: XChaCha20Poly1305::new(secret.into()) }
    }

    /// Returns the name of the key.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) const fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

/// Shows the name only.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_name_has_at_most_64_plain_ascii_characters() {
        for bad in ["", "a.b", "a:b", "é", "a b", &"x".repeat(65)] {
            assert_eq!(KeyId::new(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        assert_eq!(KeyId::new("x".repeat(64)).unwrap().as_str().len(), 64);
        let thread_key = KeyId::thread_key(&[255; 16]);
        assert!(thread_key.is_thread_key() && KeyId::new(thread_key.as_str()).is_err());
    }

    #[test]
    fn debug_output_omits_the_secret() {
        let shown = format!("{:?}", Key::new("k".parse().unwrap(), &[42; 32]));
        assert_eq!(shown, "Key(k)");
    }
}
