//! `next` runs at most once.
use throughline_core::{Call, Next, Operation, Plugin, Reply, Result};

struct Twice;

impl Plugin for Twice {
    fn name(&self) -> &str {
        "twice"
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        drop(next.run(call.clone()).await);
        next.run(call).await
    }
}

fn main() {}
