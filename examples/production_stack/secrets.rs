//! Secrets to plant, each another one. They are put together while the program runs, so that its own text holds none.

use throughline::layers::redact::Redactor;

/// Makes secrets of formats that the redactor knows.
pub(crate) struct Secrets {
    random: fastrand::Rng,
    planted: Vec<String>,
}

/// What stands before the random part of a format, how long that is, and of which characters.
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

    /// A new one.
    pub(crate) fn plant(&mut self) -> String {
        let (before, length, of) = FORMATS[self.random.usize(..FORMATS.len())];
        let random = (0..length).map(|_| char::from(of[self.random.usize(..of.len())]));
        let secret: String = before.chars().chain(random).collect();
        self.planted.push(secret.clone());
        secret
    }

    /// Cuts a text in up to four parts, wherever that falls: a stream does not care for what it cuts.
    pub(crate) fn cut(&mut self, text: &str) -> Vec<String> {
        let mut cuts: Vec<usize> = (0..3).map(|_| self.random.usize(..=text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.retain(|cut| text.is_char_boundary(*cut));
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
    }

    /// All that were planted.
    pub(crate) fn planted(self) -> Vec<String> {
        self.planted
    }
}

/// What is stored of a text.
pub(crate) fn hidden(redactor: &Redactor, text: &str) -> String {
    redactor.redact(text).map_or_else(|| text.to_owned(), |(hidden, _)| hidden)
}
