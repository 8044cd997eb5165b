//! Layers that change content: everywhere, or the text gets past them.

use throughline_core::{CarriesContent as _, Content, PersistResult, ThreadResult};

use crate::{
    laws::{bench::Bench, law::laws, operations},
    shorthand::everything,
};

laws! {
    Transforms "law.coverage" "the text passes in no operation that carries content: add, append, replace, batch, edit, metadata, reason, import, title" => coverage;
    Transforms "law.narrow" "content without the text is stored as a message all the same" => narrow;
    Transforms "law.answer-agrees" "what a write answers is what a read shows" => agrees;
    Restores "law.restores" "what is read is what was given, in every operation" => restores;
}

/// Whether anything in it holds `text`.
fn holds(json: &impl serde::Serialize, text: &str) -> bool {
    serde_json::to_string(json).expect("it serialises").contains(text)
}

async fn coverage(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    let text = format!("before {hidden} after");
    for (what, args) in bench.writes(&text) {
        let carries = !args.places().is_empty();
        bench.call(args.clone(), None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut passed = bench.inside.visits().into_iter().map(|visit| visit.args).collect::<Vec<_>>();
        for hidden in &bench.profile.hides {
            assert!(!holds(&passed, hidden), "{what}: the text passed");
        }
        // What the layer reads on the way is looked at as well, and is none of the call's places.
        passed.retain(|passed| !bench.profile.asks || passed.kind() == args.kind());
        assert_eq!(passed.len(), 1, "{what}");
        assert_eq!(passed[0].places().len(), args.places().len(), "{what}: a place is gone");
        assert!(!carries || holds(&args, &hidden), "{what} was to hold the text");
    }
}

async fn narrow(bench: Bench) {
    for (what, args) in bench.operations("nothing to hide") {
        bench.call(args, None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert!(everything(&bench.db.thread("t")).await.len() >= 2);
}

async fn agrees(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    for (what, args) in bench.writes(&format!("before {hidden} after")) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let (thread, answered) = match &answer.result {
            PersistResult::Add(added) => (added.message.thread.clone(), &added.message),
            PersistResult::Reserve(reserved) => (reserved.message.thread.clone(), &reserved.message),
            _ => continue,
        };
        let read = bench.db.thread(thread).get(answered.id.clone()).await.expect("a read");
        assert_eq!(read.as_ref(), Some(answered), "{what}");
    }
}

async fn restores(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    let text = format!("before {hidden} after");
    for (what, args) in bench.writes(&text) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let is_taken = matches!(answer.result, PersistResult::Thread(ThreadResult::TakeLast(_)));
        assert!(!is_taken || holds(&answer.result, &hidden), "{what} answers what was stored");
    }
    for (what, args) in operations::shows(10) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(holds(&answer.result, &hidden), "{what} shows what was stored");
    }
    let entry = bench.db.thread("t").entry().await.expect("a read").expect("it is there");
    let preview = (!bench.profile.hides_previews).then_some(text.as_str());
    assert_eq!((entry.title.as_str(), entry.preview.as_deref()), (text.as_str(), preview));
    assert_eq!(entry.metadata.get_as::<String>("noted").as_deref(), Some(text.as_str()));
    let read = everything(&bench.db.thread("t")).await;
    let finished = read.iter().find(|message| message.id.as_str() == "r").expect("it is there");
    let expected = Content::from_blocks(&[serde_json::json!({"type": "tool", "input": {"deep": [text]}})]);
    assert_eq!(finished.content, expected.expect("an array"));
}
