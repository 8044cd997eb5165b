//! The metadata names that a redacted map stores.

use std::collections::HashMap;

use crate::Metadata;

/// Gives a redacted name a number where two secrets have one marker. The work is linear in the number of names.
#[derive(Default)]
pub(super) struct FreeNames {
    /// The next number to try, for each redacted name.
    next: HashMap<String, u64>,
    /// How many names were looked up.
    #[cfg(test)]
    lookups: u64,
}

impl FreeNames {
    /// `name` where neither map has it, else the first free one of `name-2`, `name-3` and so on.
    ///
    /// A name that was taken stays taken, so that the next call for the same name goes on behind the last number.
    pub(super) fn free(&mut self, taken: &Metadata, given: &Metadata, name: String) -> String {
        loop {
            let number = self.next.entry(name.clone()).or_insert(1);
            let candidate = if *number == 1 { name.clone() } else { format!("{name}-{number}") };
            *number += 1;
            #[cfg(test)]
            {
                self.lookups += 1;
            }
            if taken.get(&candidate).is_none() && given.get(&candidate).is_none() {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lookups_for_free_names_are_linear_in_the_names() {
        const NAMES: u64 = 8_000;
        let mut given = Metadata::new();
        for number in 2..100 {
            given.set(format!("marker-{number}"), &number).unwrap();
        }
        let (mut names, mut taken) = (FreeNames::default(), Metadata::new());
        for number in 0..NAMES {
            let name = names.free(&taken, &given, "marker".to_owned());
            assert!(taken.get(&name).is_none() && given.get(&name).is_none(), "{name} is free");
            taken.set(name, &number).unwrap();
        }
        assert_eq!(taken.len() as u64, NAMES);
        assert_eq!(names.lookups, NAMES + given.len() as u64);
        assert!(taken.get("marker").is_some() && taken.get("marker-100").is_some());
    }
}
