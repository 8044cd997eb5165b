//! The numbers of the advisory locks that belong to the whole store. The locks of threads and other names have numbers of their own:
//! [`Locks`](crate::writer::Locks).
//!
//! Two purposes with one number would wait for each other, some of them for as long as a session lasts. So every number is here.

/// Returns the number of a lock as a literal, for `concat!`.
macro_rules! lock_number {
    // Held by a transaction that migrates the schema.
    (migration) => {
        "6070816190463183181"
    };
    // Held by a transaction that lists the snapshot of a capture.
    (snapshot) => {
        "6070816190463183182"
    };
    // Shared by the sessions that listen for commits, as long as they listen.
    (listeners) => {
        "6070816190463183183"
    };
}
pub(crate) use lock_number;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_lock_has_a_number_of_its_own() {
        let numbers = [lock_number!(migration), lock_number!(snapshot), lock_number!(listeners)];
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        for number in numbers {
            number.parse::<i64>().unwrap();
        }
    }
}
