//! The markers that replace secrets.

/// Creates and verifies markers: `[redacted:RULE#TAG]`.
#[derive(Clone)]
pub(super) struct Markers {
    key: [u8; 32],
}

/// Matches every text in the format of a marker, with a valid or invalid tag.
pub(super) const PATTERN: &str = r"\[redacted:[a-z0-9-]{1,64}#[0-9a-f]{8}\]";

/// The longest name of a rule.
pub(super) const MAX_NAME: usize = 64;

/// The prefix of every marker.
pub(super) const OPEN: &str = "[redacted:";
const TAG: usize = 8;

impl Markers {
    /// Returns markers with a public key.
    pub(super) const fn public() -> Self {
        Self { key: *b"throughline redact: public mark\0" }
    }

    pub(super) const fn keyed(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Returns the marker of a rule.
    pub(super) fn of(&self, rule: &str) -> String {
        format!("{OPEN}{rule}#{}]", self.tag(rule.as_bytes()))
    }

    /// Returns true if all of `text` is a marker with a valid tag of this key.
    pub(super) fn is_true(&self, text: &[u8]) -> bool {
        let Some(inner) = text.strip_prefix(OPEN.as_bytes()).and_then(|rest| rest.strip_suffix(b"]")) else {
            return false;
        };
        let Some(at) = inner.len().checked_sub(TAG + 1).filter(|at| inner[*at] == b'#') else { return false };
        let (rule, tag) = (&inner[..at], &inner[at + 1..]);
        (1..=MAX_NAME).contains(&rule.len()) && tag == self.tag(rule).as_bytes()
    }

    fn tag(&self, rule: &[u8]) -> String {
        let hash = blake3::keyed_hash(&self.key, rule);
        hash.to_hex()[..TAG].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_valid_with_its_own_key_only() {
        let (ours, theirs) = (Markers::keyed([7; 32]), Markers::public());
        let marker = ours.of("jwt");
        assert_eq!(marker.len(), "[redacted:jwt#]".len() + TAG);
        assert!(ours.is_true(marker.as_bytes()) && !theirs.is_true(marker.as_bytes()));
        assert!(!ours.is_true(marker.replace("jwt", "age").as_bytes()));
        for text in ["", "[redacted:]", "[redacted:#]", "[redacted:jwt]", "jwt", "[redacted:jwt#é]"] {
            assert!(!ours.is_true(text.as_bytes()), "{text}");
        }
    }
}
