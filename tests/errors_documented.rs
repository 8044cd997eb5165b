//! Compares the table in `docs/errors.md` with the code.

use throughline::ErrorKind;

#[test]
fn the_documented_error_kinds_are_equal_to_the_code() {
    let page = include_str!("../docs/errors.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 7)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let documented: Vec<_> =
        rows.iter().map(|row| [row[0], row[1], row[2], row[3]].map(str::to_owned)).collect();
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let coded: Vec<_> = ErrorKind::ALL
        .iter()
        .map(|kind| {
            [
                format!("`{}`", kind.code()),
                format!("`{kind:?}`"),
                yes(kind.passes_with_time()),
                yes(kind.is_refusal()),
            ]
        })
        .collect();
    assert_eq!(documented, coded);
}
