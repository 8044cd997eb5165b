//! An answer of another operation does not compile, and the error is on the plugin's own line.
use throughline_core::{Call, Next, Plugin, Reply, Result, messages::{Add, Delete}};

struct Confused(Answer);

struct Answer;

impl Answer {
    fn take(&self) -> Reply<Delete> {
        panic!()
    }
}

impl Plugin for Confused {
    fn name(&self) -> &str {
        "confused"
    }

    async fn add(&self, _call: Call<Add>, _next: Next<'_, Add>) -> Result<Reply<Add>> {
        Ok(self.0.take())
    }
}

fn main() {}
