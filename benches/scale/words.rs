//! Texts whose words are as frequent as those of a language, so that the full-text index has the shape of a real one.

use fastrand::Rng;

/// The number of different words.
const WORDS: f64 = 50_000.0;

/// One message in a hundred contains the common term, and one in a hundred thousand the rare one. So the number of messages
/// with them grows with the store.
pub(crate) const COMMON: &str = "harbour";
pub(crate) const RARE: &str = "lighthouse";

/// Terms with a fixed number of messages in every store, in its first hundred thousand messages: one, and a thousand.
pub(crate) const ONE: &str = "obelisk";
pub(crate) const THOUSAND: &str = "meadow";

const SYLLABLES: [&str; 16] =
    ["ba", "co", "du", "fe", "gi", "ho", "ja", "ku", "le", "mi", "no", "pa", "ru", "se", "ti", "vo"];

/// Appends a word of this rank. Frequent words are short.
fn push_word(text: &mut String, mut rank: usize) {
    loop {
        text.push_str(SYLLABLES[rank % SYLLABLES.len()]);
        rank /= SYLLABLES.len();
        if rank == 0 {
            break;
        }
    }
}

/// Returns the text of message `number`: between 10 and 200 words. The frequency of a word is in inverse proportion to its rank.
pub(crate) fn text(number: usize) -> String {
    let mut random = Rng::with_seed(number as u64);
    let words = random.usize(10..=200);
    let mut text = String::with_capacity(words * 7);
    for word in 0..words {
        if word > 0 {
            text.push(' ');
        }
        push_word(&mut text, (random.f64() * WORDS.ln()).exp() as usize);
    }
    match number {
        12_345 => text.extend([" ", ONE]),
        number if number < 100_000 && number % 100 == 9 => text.extend([" ", THOUSAND]),
        number if number % 100_000 == 777 => text.extend([" ", RARE]),
        number if number % 100 == 7 => text.extend([" ", COMMON]),
        _ => {}
    }
    text
}
