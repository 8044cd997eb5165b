//! The cost of a call in tokens.

use super::account::Cost;
use throughline_core::{IdempotencyKey, PersistArgs, changes::ConsumerArgs};

/// Returns the cost of a call. Every item of a batch and every row of an import is an operation. A read writes no
/// bytes. The idempotency key counts as written bytes.
pub(super) fn cost_of(args: &PersistArgs, key: Option<&IdempotencyKey>) -> Cost {
    let operations = match args {
        // A row with a reason, at a position of the caller's choice.
        PersistArgs::Consumer(ConsumerArgs::Quarantine(_)) => 1,
        // Work of the host itself.
        PersistArgs::Consumer(_) | PersistArgs::Replica(_) => return Cost { operations: 0, bytes: 0 },
        PersistArgs::Import(import) => import.rows.len(),
        other => other.each().len(),
    };
    let bytes = args.byte_len() + key.map_or(0, |key| key.as_str().len());
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Cost { operations: wide(operations), bytes: wide(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{
        Content, NewMessage, Role, Timestamp,
        messages::{Add, Batch, GetMessage, Import, ImportRow},
    };

    #[test]
    fn an_idempotency_key_counts_as_bytes() {
        let add: PersistArgs = Add::new("t".parse().unwrap(), NewMessage::user("x")).into();
        let key = "key".parse().unwrap();
        assert_eq!(cost_of(&add, Some(&key)).bytes, cost_of(&add, None).bytes + 3);
    }

    fn of(args: impl Into<PersistArgs>) -> (u64, u64) {
        let Cost { operations, bytes } = cost_of(&args.into(), None);
        (operations, bytes)
    }

    #[test]
    fn items_and_rows_are_operations_and_reads_write_nothing() {
        let content = || Content::from_json(r#"["x"]"#).unwrap();
        let message = || NewMessage::new(Role::User, content()).with_id("m".parse().unwrap());
        let add = || Add::new("t".parse().unwrap(), message());
        assert_eq!(of(add()), (1, 7));
        assert_eq!(of(Batch::new().with(add()).with(add())), (2, 14));
        let row = || ImportRow::new("i".parse().unwrap(), Role::User, content(), Timestamp::from_micros(1));
        assert_eq!(of(Import::new("t".parse().unwrap(), vec![row(), row(), row()])), (3, 19));
        assert_eq!(of(GetMessage { thread: "t".parse().unwrap(), id: "m".parse().unwrap() }), (1, 0));
    }
}
