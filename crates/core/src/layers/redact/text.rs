//! The strings of JSON, as what they say.

use std::borrow::Cow;

/// What a JSON string says, byte by byte, and where each byte stands in the raw string. Half of a surrogate pair has the three
/// bytes that UTF-8 would give it.
pub(super) struct Decoded<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Where each byte stands, and the end; nothing where the string says what it is.
    places: Vec<u32>,
}

impl<'a> Decoded<'a> {
    /// Decodes what stands between the quotes of a well-formed string. Nothing for one that is too long to be looked at.
    pub(super) fn of(raw: &'a str) -> Option<Self> {
        if !raw.contains('\\') {
            return Some(Self { bytes: Cow::Borrowed(raw.as_bytes()), places: Vec::new() });
        }
        let end = u32::try_from(raw.len()).ok()?;
        let (mut bytes, mut places) = (Vec::with_capacity(raw.len()), Vec::with_capacity(raw.len() + 1));
        let (mut at, raw) = (0, raw.as_bytes());
        while at < raw.len() {
            let (length, says) = step(&raw[at..]);
            bytes.extend_from_slice(says.as_slice());
            places.resize(bytes.len(), u32::try_from(at).unwrap_or(end));
            at += length;
        }
        places.push(end);
        Some(Self { bytes: Cow::Owned(bytes), places })
    }

    /// Where a byte stands in the raw string.
    pub(super) fn raw(&self, at: usize) -> usize {
        self.places.get(at).map_or(at, |place| *place as usize)
    }
}

/// At most four bytes.
struct Says([u8; 4], usize);

impl Says {
    const fn byte(byte: u8) -> Self {
        Self([byte, 0, 0, 0], 1)
    }

    fn code(code: u32) -> Self {
        match char::from_u32(code) {
            Some(character) => {
                let mut bytes = [0; 4];
                let length = character.encode_utf8(&mut bytes).len();
                Self(bytes, length)
            }
            None => {
                let low = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
                Self([0xe0 | (code >> 12 & 0xf) as u8, low(6), low(0), 0], 3)
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// The next character: how long it is in the raw string, and what it says.
fn step(raw: &[u8]) -> (usize, Says) {
    match raw {
        [b'\\', b'u', ..] => {
            let code = unit(raw).unwrap_or(0xfffd);
            match raw.get(6..).and_then(unit) {
                Some(low) if (0xd800..0xdc00).contains(&code) && (0xdc00..0xe000).contains(&low) => {
                    (12, Says::code(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)))
                }
                _ => (6.min(raw.len()), Says::code(code)),
            }
        }
        [b'\\', escaped, ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                itself => *itself,
            };
            (2, Says::byte(byte))
        }
        [byte, ..] => (1, Says::byte(*byte)),
        [] => (1, Says::byte(0)),
    }
}

/// The code of `\u` with its four digits at the front.
fn unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_knows_where_it_stands() {
        let decoded = Decoded::of(r#"a\u0041\n\ud83e\udd80\ud800é\"z"#).unwrap();
        let says: Vec<u8> = [&b"aA\n"[..], "🦀".as_bytes(), &[0xed, 0xa0, 0x80], "é\"z".as_bytes()].concat();
        assert_eq!(&*decoded.bytes, says);
        let places: Vec<usize> = [0, 1, 2, 3, 7, 10, 12, 13].into_iter().map(|at| decoded.raw(at)).collect();
        assert_eq!(places, [0, 1, 7, 9, 21, 27, 29, 31]);
        assert_eq!(decoded.raw(14), 32);
        let plain = Decoded::of("plain é").unwrap();
        assert_eq!((plain.raw(6), &*plain.bytes), (6, "plain é".as_bytes()));
    }
}
