//! Rows that take no place in a list, because damage hides where they stand.

use throughline_core::Result;

/// Finds the rows of a list, with room for one more than it shows: that one says that the list goes on. What has no place is no
/// such row, and none to go on after; where rows like that took up the room it looks again with more of it.
pub(super) fn find_enough<T>(
    limit: u32,
    has_place: impl Fn(&T) -> bool,
    mut find: impl FnMut(i64) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let wanted = i64::from(limit) + 1;
    let mut room = wanted;
    loop {
        let found = find(room)?;
        let placed = found.iter().filter(|row| has_place(row)).count() as i64;
        let placeless = found.len() as i64 - placed;
        if placed >= wanted || placed + placeless < room {
            return Ok(found);
        }
        // Twice as many of them, so that any number of them is gone through in a few turns.
        room = wanted + 2 * placeless;
    }
}
