//! The items of a plan, for `--apply`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
    marker::PhantomData,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Exit, Failure};

/// The items of a plan in their order, so that `--apply` does what the plan says and no more. They are in a temporary file without a
/// name, which ends with the program: a plan of a million items takes no memory.
#[derive(Debug)]
pub(super) struct PlannedItems<T> {
    file: BufWriter<File>,
    item: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> PlannedItems<T> {
    /// Creates the file in the folder for temporary files.
    pub(super) fn new() -> Result<Self, Failure> {
        let file = tempfile::tempfile()
            .map_err(|error| Failure::io("the plan could not be kept in a temporary file", &error))?;
        Ok(Self { file: BufWriter::new(file), item: PhantomData })
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: &T) -> Result<(), Failure> {
        let line = serde_json::to_string(item)?;
        writeln!(self.file, "{line}").map_err(|error| unkept(&error))
    }

    /// Returns the items in the order in which they were added.
    pub(super) fn into_items(self) -> Result<impl Iterator<Item = Result<T, Failure>>, Failure> {
        let mut file = self.file.into_inner().map_err(|error| unkept(error.error()))?;
        file.rewind().map_err(|error| unkept(&error))?;
        Ok(BufReader::new(file).lines().map(|line| {
            let line = line.map_err(|error| unkept(&error))?;
            serde_json::from_str(&line).map_err(|error| {
                Failure::new(Exit::Failed, "internal", format!("the plan is not readable: {error}"))
            })
        }))
    }
}

fn unkept(error: &std::io::Error) -> Failure {
    Failure::io("the temporary file of the plan failed", error)
        .advise("free space in the folder for temporary files, or name another one in TMPDIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_in_their_order() {
        let mut planned = PlannedItems::new().unwrap();
        let items: Vec<(u32, String)> = (0..10_000).map(|number| (number, format!("a\n{number}"))).collect();
        for item in &items {
            planned.push(item).unwrap();
        }
        let read: Vec<(u32, String)> = planned.into_items().unwrap().map(Result::unwrap).collect();
        assert_eq!(read, items);
    }

    #[test]
    fn a_plan_without_items_is_empty() {
        assert_eq!(PlannedItems::<u32>::new().unwrap().into_items().unwrap().count(), 0);
    }
}
