use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

type Map = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A map from types to one value each, for what layers tell each other. Keyed by private types, so that two
/// layers cannot meet by chance. One pointer while empty; a clone is cheap and a change copies.
#[derive(Clone, Default)]
pub struct Extensions(Option<Arc<Map>>);

impl Extensions {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Puts `value` under its type, in place of an earlier one.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        Arc::make_mut(self.0.get_or_insert_default()).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Takes over every value of `other`, in place of earlier ones.
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

    /// Whether there is nothing in it.
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
