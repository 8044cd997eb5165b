//! The set of operations is the framework's.
use throughline_core::{OpKind, Operation, messages::{CarriesContent, ContentField, ContentFieldMut}};

#[derive(Debug, Clone)]
struct Truncate;

impl Operation for Truncate {
    const KIND: OpKind = OpKind::Delete;
    type Output = throughline_core::messages::Deleted;
}

impl CarriesContent for Truncate {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        Vec::new()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        Vec::new()
    }
}

fn main() {}
