//! The set of operations is the framework's.
use throughline_core::{OpKind, Operation, messages::{CarriesContent, Place, PlaceMut}};

#[derive(Debug, Clone)]
struct Truncate;

impl Operation for Truncate {
    const KIND: OpKind = OpKind::Delete;
    type Output = throughline_core::messages::Deleted;
}

impl CarriesContent for Truncate {
    fn places(&self) -> Vec<Place<'_>> {
        Vec::new()
    }

    fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
        Vec::new()
    }
}

fn main() {}
