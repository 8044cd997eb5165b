use twox_hash::XxHash3_64;

/// Hashes the values of a row into 64 bits: enough to detect damage, not a defense against an author of rows.
///
/// Each value is hashed separately, with its kind and the previous hash as the seed, so that no two lists of values
/// have the same input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checksum(u64);

#[derive(Clone, Copy)]
enum Kind {
    Nothing = 1,
    Integer = 2,
    Bytes = 3,
}

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    fn value(self, kind: Kind, bytes: &[u8]) -> Self {
        // Odd, so that no bit of the seed is lost.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        Self(XxHash3_64::oneshot_with_seed(self.0.wrapping_mul(SPREAD).wrapping_add(kind as u64), bytes))
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.value(Kind::Bytes, bytes)
    }

    pub(crate) fn integer(self, integer: i64) -> Self {
        self.value(Kind::Integer, &integer.to_le_bytes())
    }

    pub(crate) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.value(Kind::Nothing, &[]),
        }
    }

    pub(crate) fn optional_integer(self, integer: Option<i64>) -> Self {
        match integer {
            Some(integer) => self.integer(integer),
            None => self.value(Kind::Nothing, &[]),
        }
    }

    pub(crate) const fn finish(self) -> i64 {
        self.0.cast_signed()
    }
}

/// A value of a row.
pub(crate) trait Hashed {
    /// Adds the value to a checksum.
    fn add_to(self, sum: Checksum) -> Checksum;
}

impl Hashed for i64 {
    fn add_to(self, sum: Checksum) -> Checksum {
        sum.integer(self)
    }
}

impl Hashed for bool {
    fn add_to(self, sum: Checksum) -> Checksum {
        sum.integer(self.into())
    }
}

impl Hashed for &str {
    fn add_to(self, sum: Checksum) -> Checksum {
        sum.text(self)
    }
}

impl Hashed for Option<i64> {
    fn add_to(self, sum: Checksum) -> Checksum {
        sum.optional_integer(self)
    }
}

impl Hashed for Option<&str> {
    fn add_to(self, sum: Checksum) -> Checksum {
        sum.optional_text(self)
    }
}

impl Hashed for Option<(i64, i64)> {
    fn add_to(self, sum: Checksum) -> Checksum {
        let (first, second) = self.unzip();
        sum.optional_integer(first).optional_integer(second)
    }
}

impl<const N: usize> Hashed for [i64; N] {
    fn add_to(self, sum: Checksum) -> Checksum {
        self.into_iter().fold(sum, Checksum::integer)
    }
}

/// Returns the checksum of some values and of all fields of a struct, in the order of the pattern. A field that the
/// pattern does not name does not compile.
macro_rules! checksum_of {
    ($($value:expr),*; $name:ident { $($field:ident),+ $(,)? } = $fields:expr) => {{
        let $name { $($field),+ } = $fields;
        let sum = $crate::record::Checksum::new();
        $(let sum = $crate::record::Hashed::add_to($value, sum);)*
        $(let sum = $crate::record::Hashed::add_to($field, sum);)+
        sum.finish()
    }};
}
pub(crate) use checksum_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_every_boundary_changes_the_checksum() {
        let sums = [
            Checksum::new().finish(),
            Checksum::new().text("ab").text("c").finish(),
            Checksum::new().text("a").text("bc").finish(),
            Checksum::new().text("abc").finish(),
            Checksum::new().text("ab").text("d").finish(),
            Checksum::new().text("c").text("ab").finish(),
            Checksum::new().optional_text(None).finish(),
            Checksum::new().optional_text(Some("")).finish(),
            Checksum::new().integer(0).finish(),
            Checksum::new().integer(1).finish(),
            Checksum::new().bytes(&[0; 8]).finish(),
            Checksum::new().optional_integer(None).optional_integer(None).finish(),
        ];
        for (at, sum) in sums.iter().enumerate() {
            assert!(!sums[at + 1..].contains(sum), "{at}");
        }
    }

    #[test]
    fn the_checksum_never_changes() {
        // Files hold these numbers: another one here would make every stored message look damaged.
        let long = "x".repeat(1000);
        assert_eq!(
            Checksum::new().text("throughline").integer(7).text(&long).finish(),
            3_826_993_655_297_665_487
        );
        // The first migration holds this one.
        assert_eq!(Checksum::new().integer(0).integer(0).integer(0).finish(), -1_896_607_939_751_548_547);
    }
}
