//! What a call takes of a quota.

use super::account::Weight;
use crate::{CarriesContent as _, PersistArgs};

/// Every item of a batch and every row of an import is an operation; a read writes nothing.
pub(super) fn weigh(args: &PersistArgs) -> Weight {
    let operations = match args {
        // The host's own work.
        PersistArgs::Consumer(_) | PersistArgs::Replica(_) => return Weight { operations: 0, bytes: 0 },
        PersistArgs::Import(import) => import.rows.len(),
        other => other.each().len(),
    };
    let bytes = if args.kind().is_write() {
        args.places().iter().map(|place| place.slot.byte_len()).fold(0, usize::saturating_add)
    } else {
        0
    };
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Weight { operations: wide(operations), bytes: wide(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Add, Batch, Content, GetMessage, Import, ImportRow, NewMessage, Role, Timestamp};

    fn of(args: impl Into<PersistArgs>) -> (u64, u64) {
        let Weight { operations, bytes } = weigh(&args.into());
        (operations, bytes)
    }

    #[test]
    fn items_and_rows_are_operations_and_reads_write_nothing() {
        let content = || Content::from_json(r#"["x"]"#).unwrap();
        let add = || Add::new("t".parse().unwrap(), NewMessage::new(Role::User, content()));
        assert_eq!(of(add()), (1, 5));
        assert_eq!(of(Batch::new().with(add()).with(add())), (2, 10));
        let row = || ImportRow::new("i".parse().unwrap(), Role::User, content(), Timestamp::from_micros(1));
        assert_eq!(of(Import::new("t".parse().unwrap(), vec![row(), row(), row()])), (3, 15));
        assert_eq!(of(GetMessage { thread: "t".parse().unwrap(), id: "m".parse().unwrap() }), (1, 0));
    }
}
