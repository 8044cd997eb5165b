use std::{any::Any, fmt, sync::Arc};

/// What a handle gives to every call that it makes, for a guard to check. The core knows only whether there is one.
#[derive(Clone)]
// One pointer, not two: every call carries it.
pub(crate) struct Credential(Arc<Box<dyn Any + Send + Sync>>);

impl Credential {
    pub(crate) fn new<T: Send + Sync + 'static>(credential: T) -> Self {
        Self(Arc::new(Box::new(credential)))
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Says nothing of the credential, which may be a secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}
