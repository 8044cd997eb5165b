//! The laws about content: a layer that changes content must change it in every operation.

use throughline_core::{
    Content, Effect, ErrorKind, NewReservation, PersistArgs, PersistError, PersistResult, ReadResult, Role,
    Timestamp,
    changes::{ConsumerArgs, ListQuarantined, QuarantinedChange, QuarantinedChanges},
    messages::{CarriesContent as _, FieldValue, Reserve},
};

use crate::{
    laws::{bench::Bench, every_field, every_field::metadata, law::laws, operations, probe::Act},
    shorthand::{everything, id, shown},
};

laws! {
    Transforms "laws.hidden_text_passes_in_no_operation" "the hidden text passes the layer in no operation that carries content" => coverage;
    Transforms "laws.other_content_is_stored" "content without the hidden text is stored" => narrow;
    Transforms "laws.write_answer_equals_a_read" "the answer to a write equals a later read" => agrees;
    Restores "laws.reads_restore_the_given_text" "every operation returns the given text on reads" => restores;
}

/// Whether the value contains `text`.
fn holds(json: &impl serde::Serialize, text: &str) -> bool {
    serde_json::to_string(json).expect("it serializes").contains(text)
}

async fn coverage(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    let text = format!("before {hidden} after");
    for (case, args) in bench.writes(&text) {
        let carries = !args.content_fields().is_empty();
        bench.call(args.clone(), None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut passed = bench.inside.visits().into_iter().map(|visit| visit.args).collect::<Vec<_>>();
        for hidden in &bench.profile.hides {
            assert!(!holds(&passed, hidden), "{case}: the text passed");
        }
        // A read of the layer itself must not contain the text either, but its fields do not belong to the call.
        passed.retain(|passed| !bench.profile.issues_reads || passed.kind() == args.kind());
        assert_eq!(passed.len(), 1, "{case}");
        assert_eq!(passed[0].content_fields().len(), args.content_fields().len(), "{case}: a field is gone");
        assert!(!carries || holds(&args, &hidden), "{case} was to hold the text");
    }
    for (case, args) in every_field::writes(&text) {
        let refusal = PersistError::new(ErrorKind::NotFound, "from inside").with_effect(Effect::NotApplied);
        let (answer, passed) = bench.scripted(args.clone(), None, Act::Fail(refusal)).await;
        let error = answer.expect_err("it is refused inside");
        if bench.refuses_itself(&args, &error, &passed) {
            continue;
        }
        assert_eq!(passed.len(), 1, "{case}: {error}");
        for hidden in &bench.profile.hides {
            assert!(!holds(&passed[0].args, hidden), "{case}: the text passed");
        }
    }
}

async fn narrow(bench: Bench) {
    for (case, args) in bench.operations("nothing to hide") {
        bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    assert!(everything(&bench.db.thread("t")).await.len() >= 2);
}

async fn agrees(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    for (case, args) in bench.writes(&format!("before {hidden} after")) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let (thread, answered) = match &answer.result {
            PersistResult::Add(added) => (added.message.thread.clone(), &added.message),
            PersistResult::Reserve(reserved) => (reserved.message.thread.clone(), &reserved.message),
            _ => continue,
        };
        let read = bench.db.thread(thread).get(answered.id.clone()).await.expect("a read");
        assert_eq!(read.as_ref(), Some(answered), "{case}");
    }
}

/// Asserts that every text of an answer is the original, not the stored form.
fn assert_restored(bench: &Bench, case: &str, answer: &PersistResult) {
    for field in answer.content_fields() {
        // Each text of the kit contains the hidden text, except where a layer omits it.
        let shown = match field.value {
            FieldValue::Whole(content) => content.as_json().to_owned(),
            FieldValue::Metadata(metadata) => shown(metadata),
            FieldValue::Title(title) => title.as_str().to_owned(),
            FieldValue::Reason(text) | FieldValue::Preview(text) => text.to_owned(),
            FieldValue::Delta(_) => continue,
        };
        let is_empty = ["", "[]", "{}"].contains(&&*shown);
        for hidden in &bench.profile.hides {
            assert!(is_empty || shown.contains(hidden), "{case} answers what is stored: {shown:.200}");
        }
    }
}

/// The reason of a quarantined change is also text: the answer restores it.
async fn quarantined(bench: &Bench, text: &str) {
    let of_reasons =
        |(_, args): &(&str, PersistArgs)| matches!(args, PersistArgs::Consumer(ConsumerArgs::Quarantine(_)));
    let (case, asked) =
        every_field::writes(text).into_iter().find(of_reasons).expect("one of every operation");
    let refusal = PersistError::new(ErrorKind::NotFound, "from inside").with_effect(Effect::NotApplied);
    let (answer, mut passed) = bench.scripted(asked.clone(), None, Act::Fail(refusal)).await;
    let error = answer.expect_err("it is refused inside");
    if bench.refuses_itself(&asked, &error, &passed) {
        return;
    }
    assert_eq!(passed.len(), 1, "{case}: {error}");
    let PersistArgs::Consumer(ConsumerArgs::Quarantine(stored)) = passed.remove(0).args else {
        unreachable!("a quarantine")
    };
    let change = QuarantinedChange {
        position: stored.position,
        thread: stored.thread,
        at: Timestamp::from_micros(7),
        why: stored.why,
    };
    let list = ListQuarantined::new(stored.consumer.clone(), 10);
    let shown = QuarantinedChanges { consumer: stored.consumer, changes: vec![change], more: false };
    let stored = ReadResult::Quarantined(shown).into();
    let (answer, _) = bench.scripted(list.into(), None, Act::Answer(Box::new(stored))).await;
    let answer = answer.unwrap_or_else(|error| panic!("a list of quarantined changes: {error}"));
    assert!(holds(&answer.result, text), "a list of quarantined changes shows what was stored");
}

async fn restores(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    let text = format!("before {hidden} after");
    for (case, args) in bench.writes(&text) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_restored(&bench, case, &answer.result);
    }
    let open = NewReservation::new(Role::Assistant).with_id(id("open")).with_metadata(metadata(&text));
    bench.call(Reserve::new(operations::t(), open).into(), None).await.expect("it is reserved");
    for (case, args) in operations::shows(10) {
        let answer = bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(holds(&answer.result, &hidden), "{case} shows what was stored");
        assert_restored(&bench, case, &answer.result);
    }
    quarantined(&bench, &text).await;
    let entry = bench.db.thread("t").summary().await.expect("a read").expect("it is there");
    let preview = (!bench.profile.hides_previews).then_some(text.as_str());
    assert_eq!((entry.title.as_str(), entry.preview.as_deref()), (text.as_str(), preview));
    assert_eq!(entry.metadata.get_as::<String>("annotated").as_deref(), Some(text.as_str()));
    let read = everything(&bench.db.thread("t")).await;
    let finished = read.iter().find(|message| message.id.as_str() == "r").expect("it is there");
    let expected = Content::from_blocks(&[serde_json::json!({"type": "tool", "input": {"deep": [text]}})]);
    assert_eq!(finished.content, expected.expect("an array"));
}
