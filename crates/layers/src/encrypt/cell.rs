use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chacha20poly1305::{XNonce, aead::AeadInOut as _};

use super::{
    Key, KeyId, Unreadable, Weakness,
    binding::{ALGORITHM, Binding, FORMAT},
};
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// Fills bytes with chance; `false` when the operating system has none to give.
pub(super) type Random = fn(&mut [u8]) -> bool;

/// The chance of the operating system.
pub(super) fn of_the_system(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const OPENS: &str = "sealed:";

/// Something sealed, as it stands in a store: `sealed:1:xc20p:<key>:<nonce, ciphertext and tag in base64>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) key: &'a str,
    data: &'a str,
}

impl<'a> Cell<'a> {
    /// Reads `text` as something sealed; nothing where it is something else.
    pub(super) fn parse(text: &'a str) -> Result<Option<Self>, Unreadable> {
        let Some(rest) = text.strip_prefix(OPENS) else { return Ok(None) };
        let mut parts = rest.split(':');
        // What people write may begin so, but for the number of a form.
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

    /// What is in it, if it was sealed with `key` for this place.
    pub(super) fn open(
        &self,
        key: &Key,
        place: &Binding<'_>,
        weakness: Weakness,
    ) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = BASE64.decode(self.data).map_err(|_| Unreadable::Malformed)?;
        if bytes.len() < NONCE_BYTES + TAG_BYTES {
            return Err(Unreadable::Malformed);
        }
        let mut sealed = bytes.split_off(NONCE_BYTES);
        let nonce = XNonce::try_from(&*bytes).map_err(|_| Unreadable::Malformed)?;
        let associated = place.associated(key.id(), weakness);
        match key.cipher().decrypt_in_place(&nonce, &associated, &mut sealed) {
            Ok(()) => Ok(sealed),
            Err(_) => Err(Unreadable::Forged),
        }
    }
}

/// Seals `plain` for this place under a nonce of chance.
pub(super) fn seal(
    plain: &[u8],
    key: &Key,
    place: &Binding<'_>,
    random: Random,
    weakness: Weakness,
) -> Result<String> {
    let mut nonce = [0; NONCE_BYTES];
    if !random(&mut nonce) {
        return Err(failed("the operating system gave no random bytes"));
    }
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(plain);
    let associated = place.associated(key.id(), weakness);
    key.cipher()
        .encrypt_in_place(&XNonce::from(nonce), &associated, &mut sealed)
        .map_err(|_| failed("it is too long to be encrypted"))?;
    let id = key.id();
    let mut text = String::with_capacity(32 + id.as_str().len() + (sealed.len() + NONCE_BYTES) * 4 / 3);
    text.extend([OPENS, FORMAT, ":", ALGORITHM, ":", id.as_str(), ":"]);
    // 24 bytes end with a whole group of base64, so the two parts stand beside each other as if they were one.
    BASE64.encode_string(nonce, &mut text);
    BASE64.encode_string(sealed, &mut text);
    Ok(text)
}

/// Chance that has to be there before anything is done.
pub(super) fn chance<const N: usize>(random: Random) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    if random(&mut bytes) { Ok(bytes) } else { Err(failed("the operating system gave no random bytes")) }
}

fn failed(detail: &'static str) -> PersistError {
    PersistError::new(ErrorKind::Internal, detail).with_effect(Effect::NotApplied)
}

/// The name in a cell, as one to look for.
impl Cell<'_> {
    pub(super) fn key_id(&self) -> KeyId {
        KeyId::found(self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::binding::Field, *};

    const PLACE: Binding<'static> =
        Binding { tenant: "x", thread: "t", message: Some("m"), field: Field::Fact("f") };

    fn key() -> Key {
        Key::new("k".parse().unwrap(), &[9; 32])
    }

    fn sealed(plain: &[u8]) -> String {
        seal(plain, &key(), &PLACE, of_the_system, Weakness::None).unwrap()
    }

    fn opened(text: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let Some(cell) = Cell::parse(text)? else { return Ok(None) };
        // As the layer does: the key is looked up by its name.
        if cell.key != "k" {
            return Err(Unreadable::UnknownKey(cell.key_id()));
        }
        cell.open(&key(), &PLACE, Weakness::None).map(Some)
    }

    #[test]
    fn what_is_sealed_opens_in_its_place() {
        for plain in [&b""[..], b"x", "\u{0}é\u{10ffff}".as_bytes(), &[7; 10_000]] {
            assert_eq!(opened(&sealed(plain)).unwrap().unwrap(), plain);
        }
        assert_eq!(opened("anything"), Ok(None));
    }

    #[test]
    fn no_nonce_comes_twice() {
        let nonces: HashSet<String> =
            (0..20_000).map(|_| sealed(b"").rsplit(':').next().unwrap()[..32].to_owned()).collect();
        assert_eq!(nonces.len(), 20_000);
    }

    #[test]
    fn without_chance_nothing_is_sealed() {
        let error = seal(b"x", &key(), &PLACE, |_| false, Weakness::None).unwrap_err();
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
                // What looks encrypted no more is for the caller to refuse.
                assert!(!matches!(opened(&changed), Ok(Some(_))), "byte {at}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_grown_is_refused() {
        let text = sealed(b"attack at dawn");
        for end in OPENS.len()..text.len() {
            assert!(!matches!(opened(&text[..end]), Ok(Some(_))), "{end}");
        }
        for tail in ["A", "=", ":", " "] {
            assert!(opened(&format!("{text}{tail}")).is_err());
        }
    }
}
