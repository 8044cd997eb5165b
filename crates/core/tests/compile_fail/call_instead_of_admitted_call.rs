//! A plugin holds a `Call`, which is no admitted call: the plugin cannot bypass the layers after it.
use throughline_core::{Backend, Call, Next, Plugin, Reply, Result, messages::Add};

struct Bypass<B>(B);

impl<B: Backend> Plugin for Bypass<B> {
    fn name(&self) -> &str {
        "bypass"
    }

    async fn add(&self, call: Call<Add>, _next: Next<'_, Add>) -> Result<Reply<Add>> {
        self.0.add(call).await
    }
}

fn main() {}
