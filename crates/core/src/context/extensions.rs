use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

type Map = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A map from types to one value each, which layers use to pass values to each other. Use private types as keys, so that two
/// layers never use the same key by accident. An empty map is one null pointer. A clone is cheap; a change copies the map.
#[derive(Clone, Default)]
pub struct Extensions(Option<Arc<Map>>);

impl Extensions {
    /// Returns an empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Inserts `value` under its type and replaces an earlier value.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        Arc::make_mut(self.0.get_or_insert_default()).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Returns the value of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Inserts every value of `other` and replaces earlier values.
    pub fn extend(&mut self, other: Self) {
        let Some(theirs) = other.0 else { return };
        match &mut self.0 {
            None => self.0 = Some(theirs),
            Some(ours) => {
                let ours = Arc::make_mut(ours);
                ours.extend(theirs.iter().map(|(key, value)| (*key, Arc::clone(value))));
            }
        }
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|map| map.is_empty())
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.as_ref().map_or(0, |map| map.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_independent() {
        let mut outer = Extensions::new();
        outer.insert(1_u8);
        let mut inner = outer.clone();
        inner.insert(2_u8);
        inner.insert("x");
        assert_eq!((outer.get::<u8>(), outer.get::<&str>()), (Some(&1), None));
        outer.extend(inner);
        assert_eq!((outer.get::<u8>(), outer.get::<&str>()), (Some(&2), Some(&"x")));
    }
}
