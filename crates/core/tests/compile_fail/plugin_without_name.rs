//! A plugin has to have a name.
use throughline_core::{Call, Next, Operation, Plugin, Reply, Result};

struct Nameless;

impl Plugin for Nameless {
    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        next.run(call).await
    }
}

fn main() {}
