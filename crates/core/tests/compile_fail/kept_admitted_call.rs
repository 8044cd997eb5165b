//! A backend cannot keep an admitted call and show it to another backend later.
use std::sync::Mutex;

use throughline_core::{
    Admitted, Backend, Capabilities, Durability, PersistError, Reply, Result,
    messages::Add,
};

struct Thief {
    kept: Mutex<Option<Admitted<'static, Add>>>,
}

impl Backend for Thief {
    fn name(&self) -> &str {
        "thief"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile)
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        *self.kept.lock().unwrap() = Some(call);
        Err(PersistError::unsupported("add"))
    }
}

fn main() {}
