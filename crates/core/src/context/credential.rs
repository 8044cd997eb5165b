use std::{any::Any, fmt, sync::Arc};

/// The credential that a handle attaches to each of its calls, for a guard to check. The core does not look into it.
#[derive(Clone)]
// One pointer instead of two, because every call has this field.
pub(crate) struct Credential(Arc<Box<dyn Any + Send + Sync>>);

impl Credential {
    pub(crate) fn new<T: Send + Sync + 'static>(credential: T) -> Self {
        Self(Arc::new(Box::new(credential)))
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Shows no part of the credential, which can be a secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}
