use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chacha20poly1305::{XNonce, aead::AeadInOut as _};

use super::{
    Key, KeyId, Unreadable,
    binding::{ALGORITHM, Binding, FORMAT},
};
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// Fills a buffer with random bytes; returns `false` when the operating system has none.
pub(super) type Random = fn(&mut [u8]) -> bool;

/// The random bytes of the operating system.
pub(super) fn system_random(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const PREFIX: &str = "sealed:";

/// A parsed ciphertext as the store keeps it: `sealed:1:xc20p:<key>:<nonce, ciphertext and tag in base64>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ciphertext<'a> {
    pub(super) key: &'a str,
    data: &'a str,
}

impl<'a> Ciphertext<'a> {
    /// Parses `text`. Returns `None` for text that is no ciphertext.
    pub(super) fn parse(text: &'a str) -> Result<Option<Self>, Unreadable> {
        let Some(rest) = text.strip_prefix(PREFIX) else { return Ok(None) };
        let mut parts = rest.split(':');
        // Plaintext can also begin with the prefix, but the number of a format does not follow it.
        let form = parts.clone().next().unwrap_or_default();
        if form.is_empty() || !form.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(FORMAT), Some(ALGORITHM), Some(key), Some(data), None) if !key.is_empty() => {
                Ok(Some(Self { key, data }))
            }
            _ => Err(Unreadable::Malformed),
        }
    }

    /// Decrypts the ciphertext, if it was encrypted with `key` for this binding.
    pub(super) fn open(&self, key: &Key, binding: &Binding<'_>) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = BASE64.decode(self.data).map_err(|_| Unreadable::Malformed)?;
        if bytes.len() < NONCE_BYTES + TAG_BYTES {
            return Err(Unreadable::Malformed);
        }
        let mut sealed = bytes.split_off(NONCE_BYTES);
        let nonce = XNonce::try_from(&*bytes).map_err(|_| Unreadable::Malformed)?;
        let associated = binding.associated(key.id());
        match key.cipher().decrypt_in_place(&nonce, &associated, &mut sealed) {
            Ok(()) => Ok(sealed),
            Err(_) => Err(Unreadable::Forged),
        }
    }
}

/// Encrypts `plain` for this binding with a random nonce.
pub(super) fn seal(plain: &[u8], key: &Key, binding: &Binding<'_>, random: Random) -> Result<String> {
    let mut text = Vec::with_capacity(sealed_len(plain.len(), key));
    seal_into(&mut text, plain, key, binding, random)?;
    Ok(String::from_utf8(text).expect("a ciphertext is ASCII"))
}

/// Returns the most bytes that [`seal_into`] appends for `plain` bytes.
pub(super) fn sealed_len(plain: usize, key: &Key) -> usize {
    let bytes = NONCE_BYTES + plain + TAG_BYTES;
    PREFIX.len() + FORMAT.len() + ALGORITHM.len() + key.id().as_str().len() + 3 + bytes.div_ceil(3) * 4
}

/// Encrypts `plain` for this binding with a random nonce, and appends the ciphertext.
pub(super) fn seal_into(
    text: &mut Vec<u8>,
    plain: &[u8],
    key: &Key,
    binding: &Binding<'_>,
    random: Random,
) -> Result<()> {
    let mut nonce = [0; NONCE_BYTES];
    if !random(&mut nonce) {
        return Err(failed("the operating system gave no random bytes"));
    }
    // The nonce, the ciphertext and the tag, in one buffer.
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let associated = binding.associated(key.id());
    let tag = key
        .cipher()
        .encrypt_inout_detached(&XNonce::from(nonce), &associated, (&mut sealed[NONCE_BYTES..]).into())
        .map_err(|_| failed("the text is too long to be encrypted"))?;
    sealed.extend_from_slice(&tag);
    for part in [PREFIX, FORMAT, ":", ALGORITHM, ":", key.id().as_str(), ":"] {
        text.extend_from_slice(part.as_bytes());
    }
    let start = text.len();
    text.resize(start + sealed.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(&sealed, &mut text[start..]).expect("the buffer is long enough");
    text.truncate(start + written);
    Ok(())
}

/// Returns random bytes, or an error with the effect `NotApplied`.
pub(super) fn random_bytes<const N: usize>(random: Random) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    if random(&mut bytes) { Ok(bytes) } else { Err(failed("the operating system gave no random bytes")) }
}

fn failed(detail: &'static str) -> PersistError {
    PersistError::new(ErrorKind::Internal, detail).with_effect(Effect::NotApplied)
}

/// Returns the name of the key that the ciphertext is under.
impl Ciphertext<'_> {
    pub(super) fn key_id(&self) -> KeyId {
        KeyId::from_stored(self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::binding::Field, *};

    const BINDING: Binding<'static> =
        Binding { tenant: "x", thread: "t", message: Some("m"), field: Field::Metadata("f") };

    fn key() -> Key {
        Key::new("k".parse().unwrap(), &[9; 32])
    }

    fn sealed(plain: &[u8]) -> String {
        seal(plain, &key(), &BINDING, system_random).unwrap()
    }

    fn opened(text: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let Some(ciphertext) = Ciphertext::parse(text)? else { return Ok(None) };
        // The layer also looks up the key by its name.
        if ciphertext.key != "k" {
            return Err(Unreadable::UnknownKey(ciphertext.key_id()));
        }
        ciphertext.open(&key(), &BINDING).map(Some)
    }

    #[test]
    fn a_ciphertext_decrypts_with_its_own_binding() {
        for plain in [&b""[..], b"x", "\u{0}é\u{10ffff}".as_bytes(), &[7; 10_000]] {
            assert_eq!(opened(&sealed(plain)).unwrap().unwrap(), plain);
        }
        assert_eq!(opened("anything"), Ok(None));
    }

    #[test]
    fn nonces_are_unique() {
        let nonces: HashSet<String> =
            (0..20_000).map(|_| sealed(b"").rsplit(':').next().unwrap()[..32].to_owned()).collect();
        assert_eq!(nonces.len(), 20_000);
    }

    #[test]
    fn encryption_fails_without_random_bytes() {
        let error = seal(b"x", &key(), &BINDING, |_| false).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, Effect::NotApplied));
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let text = sealed(b"attack at dawn");
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                // Text that no longer looks like a ciphertext is refused by the caller of `parse`.
                assert!(!matches!(opened(&changed), Ok(Some(_))), "byte {at}");
            }
        }
    }

    #[test]
    fn a_truncated_or_extended_ciphertext_is_refused() {
        let text = sealed(b"attack at dawn");
        for end in PREFIX.len()..text.len() {
            assert!(!matches!(opened(&text[..end]), Ok(Some(_))), "{end}");
        }
        for tail in ["A", "=", ":", " "] {
            assert!(opened(&format!("{text}{tail}")).is_err());
        }
    }
}
