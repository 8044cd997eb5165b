//! Long texts are rewritten outside of the runtime workers.

use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use throughline::{
    Persistence,
    layers::transform::{Edits, HeldTail, Rewrite, TextPart, Transform, TransformLayer},
    memory::MemoryBackend,
    messages::UpdateMode,
};

use super::{append, blocks, new};

/// Records the thread on which it runs.
struct RecordsThread(Arc<Mutex<Vec<ThreadId>>>);

impl Transform for RecordsThread {
    type Stream = HeldTail;
    const RESTORES: bool = false;

    fn name(&self) -> &str {
        "where"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        self.0.lock().unwrap().push(thread::current().id());
        Rewrite { edits: Edits::none(), certain: part.text().len() }
    }

    fn up(&self, _: &str) -> Edits {
        Edits::none()
    }
}

#[tokio::test]
async fn a_short_edit_of_a_long_text_is_rewritten_off_the_runtime() {
    let ran_on = Arc::<Mutex<Vec<ThreadId>>>::default();
    let layer = TransformLayer::new(RecordsThread(Arc::clone(&ran_on)));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let is_here = || {
        let ran_on = std::mem::take(&mut *ran_on.lock().unwrap());
        assert!(!ran_on.is_empty());
        ran_on.contains(&thread::current().id())
    };
    for (id, text) in [("short", "x".to_owned()), ("long", "x".repeat(32 << 10))] {
        db.run(new(id)).await.unwrap();
        db.run(append(id, &text, UpdateMode::Final)).await.unwrap();
        assert_eq!(is_here(), id == "short", "{id}");
        db.run(append(id, "y", UpdateMode::Edit)).await.unwrap();
        assert_eq!(is_here(), id == "short", "an edit of a {id} text");
        db.run(blocks(id, r#"[{"a":"b"}]"#, UpdateMode::Edit)).await.unwrap();
        assert!(is_here(), "the stored text is not rewritten");
    }
}
