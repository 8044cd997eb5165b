//! Fills a page of a list even if damaged rows without a position take up its row limit.

use throughline_core::Result;

/// Finds one row more than a list shows, which proves that the list continues. A row without a position cannot prove
/// that, and a cursor cannot continue after it. If such rows took up the row limit, `find` runs again with a greater
/// one. `find` also returns whether it ended before a row that did not fit: then it need not run again.
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
        // Twice as many of them, so that a few rounds suffice for any number.
        row_limit = wanted + 2 * unplaced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the row limits of all rounds, and the number of found rows, for rows with and without a position.
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
    fn it_runs_again_only_if_rows_without_a_position_took_up_the_row_limit() {
        assert_eq!(found(2, &[]), (vec![3], 0));
        assert_eq!(found(2, &[true; 3]), (vec![3], 3));
        assert_eq!(found(2, &[true; 9]), (vec![3], 3));
        assert_eq!(found(2, &[false, true]), (vec![3], 2));
        assert_eq!(found(2, &[false, true, true]), (vec![3, 5], 3), "another one may follow them");
        assert_eq!(found(2, &[false, true, false, true, true, true]), (vec![3, 7], 6));
        // The rounds cover all of them: no row with a position is hidden by those without one.
        let many: Vec<bool> = [vec![false; 100], vec![true; 9]].concat();
        assert_eq!(found(2, &many), (vec![3, 9, 21, 45, 93, 189], 109));
    }
}
