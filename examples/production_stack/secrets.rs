//! Generates distinct secrets at run time, so that the source contains none.

use throughline::layers::redact::Redactor;

/// Generates secrets in formats that the redactor detects.
pub(crate) struct Secrets {
    random: fastrand::Rng,
    planted: Vec<String>,
}

/// The prefix of each format, the length of its random part, and the characters of that part.
const FORMATS: [(&str, usize, &[u8]); 4] = [
    ("ghp_", 36, ALPHANUMERIC),
    ("AKIA", 16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    ("glpat-", 20, ALPHANUMERIC),
    ("npm_", 36, ALPHANUMERIC),
];
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Secrets {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), planted: Vec::new() }
    }

    /// Generates a secret and records it.
    pub(crate) fn plant(&mut self) -> String {
        let (before, length, of) = FORMATS[self.random.usize(..FORMATS.len())];
        let random = (0..length).map(|_| char::from(of[self.random.usize(..of.len())]));
        let secret: String = before.chars().chain(random).collect();
        self.planted.push(secret.clone());
        secret
    }

    /// Splits a text at random character boundaries into up to four parts, as a stream may.
    pub(crate) fn split(&mut self, text: &str) -> Vec<String> {
        let mut cuts: Vec<usize> = (0..3).map(|_| self.random.usize(..=text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.retain(|at| text.is_char_boundary(*at));
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
    }

    /// Returns all generated secrets.
    pub(crate) fn planted(self) -> Vec<String> {
        self.planted
    }
}

/// Returns the redacted form of a text, as the store keeps it.
pub(crate) fn redacted(redactor: &Redactor, text: &str) -> String {
    redactor.redact(text).map_or_else(|| text.to_owned(), |(redacted, _)| redacted)
}
