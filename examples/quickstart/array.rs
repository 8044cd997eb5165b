//! Reads a file that is one JSON array, such as an export of chats, one element at a time.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
};

use serde::{
    Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::lines::MAX_LINE;

/// Calls `take` with the number (from 1) and the JSON of each element. At most one element is in memory.
///
/// # Errors
/// Returns the reason and the number of the element: invalid JSON, an element of more than 32 MiB, or bytes after the
/// array. `take` has received every element before it.
pub(crate) fn each(input: impl Read, mut take: impl FnMut(usize, &RawValue)) -> Result<(), String> {
    let (left, read) = (Cell::new(MAX_LINE), Cell::new(0));
    let bounded = Bounded { input, left: &left };
    let mut json = serde_json::Deserializer::from_reader(bounded);
    let elements = Elements { left: &left, read: &read, take: &mut take };
    json.deserialize_seq(elements)
        .and_then(|()| json.end())
        .map_err(|error| format!("element {} of the array: {error}", read.get() + 1))
}

/// A reader that fails when an element exceeds the limit.
struct Bounded<'a, R> {
    input: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(most) = Some(self.left.get().min(buffer.len())).filter(|most| *most > 0) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an element of more than 32 MiB"));
        };
        let read = self.input.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}

struct Elements<'a, F> {
    left: &'a Cell<usize>,
    read: &'a Cell<usize>,
    take: &'a mut F,
}

impl<'de, F: FnMut(usize, &RawValue)> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<Box<RawValue>>()? {
            self.left.set(MAX_LINE);
            self.read.set(self.read.get() + 1);
            (self.take)(self.read.get(), &element);
        }
        Ok(())
    }
}
