//! Rows that take no place in a list, because damage hides where they stand.

use throughline_core::Result;

/// Finds the rows of a list, with room for one more than it shows: that one says that the list goes on. What has no place is no
/// such row, and none to go on after; where rows like that took up the room it looks again with more of it. `find` says whether it
/// ended before a row that did not fit: then there is no need to look again.
pub(super) fn find_enough<T>(
    limit: u32,
    has_position: impl Fn(&T) -> bool,
    mut find: impl FnMut(i64) -> Result<(Vec<T>, bool)>,
) -> Result<(Vec<T>, bool)> {
    let wanted = i64::from(limit) + 1;
    let mut row_limit = wanted;
    loop {
        let (found, is_truncated) = find(row_limit)?;
        let placed = found.iter().filter(|row| has_position(row)).count() as i64;
        let unplaced = found.len() as i64 - placed;
        if is_truncated || placed >= wanted || placed + unplaced < row_limit {
            return Ok((found, is_truncated));
        }
        // Twice as many of them, so that any number of them is gone through in a few turns.
        row_limit = wanted + 2 * unplaced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much room was asked for, and how many were found, of rows that have a place or none.
    fn found(limit: u32, rows: &[bool]) -> (Vec<i64>, usize) {
        let mut asked = Vec::new();
        let found = find_enough(
            limit,
            |has_position| *has_position,
            |row_limit| {
                asked.push(row_limit);
                Ok((rows[..rows.len().min(usize::try_from(row_limit).unwrap())].to_vec(), false))
            },
        );
        (asked, found.unwrap().0.len())
    }

    #[test]
    fn it_looks_again_only_where_rows_without_a_place_took_up_the_room() {
        assert_eq!(found(2, &[]), (vec![3], 0));
        assert_eq!(found(2, &[true; 3]), (vec![3], 3));
        assert_eq!(found(2, &[true; 9]), (vec![3], 3));
        assert_eq!(found(2, &[false, true]), (vec![3], 2));
        assert_eq!(found(2, &[false, true, true]), (vec![3, 5], 3), "another one may stand behind them");
        assert_eq!(found(2, &[false, true, false, true, true, true]), (vec![3, 7], 6));
        // All of them are gone through: none that has a place is hidden by those that have none.
        let many: Vec<bool> = [vec![false; 100], vec![true; 9]].concat();
        assert_eq!(found(2, &many), (vec![3, 9, 21, 45, 93, 189], 109));
    }
}
