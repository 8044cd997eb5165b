use std::fmt::Display;

/// Prints one figure.
pub(crate) fn figure(name: impl Display, value: f64, unit: &str) {
    let decimals = if value.abs() < 100.0 { 2 } else { 0 };
    println!("figure {name} {value:.decimals$} {unit}");
}

/// Returns the median of the ratios of all rounds. Both values of a ratio come from the same round, so drift of the
/// machine cancels out.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(&ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

/// Returns the middle value, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { sorted[middle - 1].midpoint(sorted[middle]) } else { sorted[middle] }
}
