//! A plugin whose future cannot move between threads is reported on its own line, with the culprit.
use std::rc::Rc;

use throughline_core::{Call, Next, Plugin, Reply, Result, messages::Add};

struct Local;

impl Plugin for Local {
    fn name(&self) -> &str {
        "local"
    }

    async fn add(&self, call: Call<Add>, next: Next<'_, Add>) -> Result<Reply<Add>> {
        let count = Rc::new(1);
        let reply = next.run(call).await;
        drop(count);
        reply
    }
}

fn main() {}
