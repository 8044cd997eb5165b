//! The scale of a check.

use std::env;

/// The environment variable that multiplies every count: 1 in an ordinary run, more in a long one.
const SCALE: &str = "THROUGHLINE_SCALE";

/// Returns whether a scale other than the ordinary one was requested.
pub(crate) fn is_scaled() -> bool {
    env::var_os(SCALE).is_some()
}

/// Returns `count` times `THROUGHLINE_SCALE`, at least one.
///
/// # Panics
/// If `THROUGHLINE_SCALE` is not a positive number.
#[must_use]
pub fn scaled(count: u64) -> u64 {
    let scale = env::var(SCALE).map_or(1.0, |scale| {
        let number = scale.parse().ok().filter(|scale| f64::is_normal(*scale) && *scale > 0.0);
        number.unwrap_or_else(|| panic!("{SCALE} is `{scale}`, which is no positive number"))
    });
    ((count as f64 * scale) as u64).max(1)
}
