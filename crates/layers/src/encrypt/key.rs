use std::{fmt, sync::Arc};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};

use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// What a key is called: 1 to 64 letters, digits, `-` and `_` of ASCII. It stands in the store beside whatever the key has
/// sealed, so it is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `text` and makes the name.
    ///
    /// # Errors
    /// `Invalid` when the text is empty, too long, or holds another character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.chars().all(fits) {
            let detail = "the name of a key is not 1 to 64 letters, digits, `-` and `_` of ASCII";
            return Err(PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a key of one thread. No key of a ring can be called so.
    pub(super) fn of_a_thread(random: &[u8; 16]) -> Self {
        Self(format!("t.{:032x}", u128::from_be_bytes(*random)).into())
    }

    /// A name as it was found in a store.
    pub(super) fn found(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub(super) fn is_of_a_thread(&self) -> bool {
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

/// A secret of 256 bits with its name. It is not cloned, not shown, and wiped from memory when it is dropped.
///
/// ```
/// use throughline_layers::encrypt::Key;
///
/// // From the host's key service, or the operating system's key chain; never from the program's text.
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
    /// The key of this name. The caller wipes its own copy of `secret`.
    #[must_use]
    pub fn new(id: KeyId, secret: &[u8; 32]) -> Self {
        Self { id, cipher: XChaCha20Poly1305::new(secret.into()) }
    }

    /// What it is called.
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
    fn a_name_is_short_and_plain() {
        for bad in ["", "a.b", "a:b", "é", "a b", &"x".repeat(65)] {
            assert_eq!(KeyId::new(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        assert_eq!(KeyId::new("x".repeat(64)).unwrap().as_str().len(), 64);
        let of_a_thread = KeyId::of_a_thread(&[255; 16]);
        assert!(of_a_thread.is_of_a_thread() && KeyId::new(of_a_thread.as_str()).is_err());
    }

    #[test]
    fn nothing_of_the_secret_is_shown() {
        let shown = format!("{:?}", Key::new("k".parse().unwrap(), &[42; 32]));
        assert_eq!(shown, "Key(k)");
    }
}
