//! The laws about content: a layer that changes content must change it in every operation.

use serde_json::value::RawValue;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, NewMessage, NewReservation, PersistArgs,
    PersistError, PersistResult, ReadResult, Role, Timestamp,
    changes::{ConsumerArgs, ListQuarantined, QuarantinedChange, QuarantinedChanges},
    messages::{
        Add, Batch, CarriesContent as _, ContentChange, FieldValue, Import, ImportRow, Reserve,
        UpdateContent, UpdateMode,
    },
};

use crate::{
    laws::{
        bench::Bench, difference::difference, every_field, every_field::metadata, law::laws, operations,
        probe::Act,
    },
    shorthand::{everything, id, shown},
};

laws! {
    Transforms "laws.hidden_text_passes_in_no_operation" "the hidden text passes the layer in no operation that carries content" => coverage;
    Transforms "laws.other_content_is_stored" "content without the hidden text is stored" => narrow;
    Transforms "laws.rest_of_the_content_is_kept" "unknown blocks, members, numbers and escapes around the hidden text come back byte for byte" => rest;
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

/// Members that a parser of known blocks does not keep: unknown names, duplicates, digits of numbers, and escapes.
const ODD: &str = r#""x-kept": {"price" : 1.10,"price":1e2,"big":123456789012345678901234567890,"nul":"a\u0000b","lone":"\ud83d","none":null,"list":[[],{}]}"#;

/// A block of text between unknown blocks: what is before the text, and what is behind it.
fn around_the_text() -> (String, String) {
    let before =
        format!(r#"[{{"type":"x-unknown","data":"kept",{ODD}}},{{{ODD}}},{{{ODD},"type":"text","text":""#);
    let behind = format!(r#"","citations":[{{"page":1.0}}],{ODD}}},{{"type":"x-unknown",{ODD}}},{{}}]"#);
    (before, behind)
}

fn odd_metadata(memo: &str) -> Metadata {
    let mut metadata = metadata(memo);
    metadata.set_raw("odd", RawValue::from_string(format!("{{{ODD}}}")).expect("JSON"));
    metadata
}

/// Writes the content in every way, and returns the messages that have it.
async fn write_in_every_way(bench: &Bench, content: &Content, metadata: &Metadata) -> Vec<MessageId> {
    let t = operations::t;
    let added = |name: &str| NewMessage::new(Role::Assistant, content.clone()).with_id(id(name));
    let open = |name: &str| Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id(name)));
    let change = |name: &str, change, mode| UpdateContent::new(t(), id(name), change, mode);
    let whole = || ContentChange::Replace(content.clone());
    let blocks = || ContentChange::Append(Delta::Blocks(content.clone()));
    let ends = |name: &str| change(name, ContentChange::none(), UpdateMode::Final);
    let row = ImportRow {
        metadata: metadata.clone(),
        ..ImportRow::new(id("imported"), Role::Assistant, content.clone(), Timestamp::from_micros(7))
    };
    let calls: Vec<PersistArgs> = vec![
        Add::new(t(), added("added").with_metadata(metadata.clone())).into(),
        Add::new(t(), NewMessage::user("x").with_id(id("edited"))).into(),
        change("edited", whole(), UpdateMode::Edit).into(),
        open("replaced").into(),
        change("replaced", whole(), UpdateMode::Final).into(),
        open("appended").into(),
        change("appended", blocks(), UpdateMode::Final).into(),
        open("streamed").into(),
        change("streamed", blocks(), UpdateMode::Partial).into(),
        ends("streamed").into(),
        open("snapshot").into(),
        change("snapshot", whole(), UpdateMode::Partial).into(),
        ends("snapshot").into(),
        Import::new(t(), vec![row]).into(),
        Batch::new()
            .with(Add::new(t(), added("batched")))
            .with(open("batch-streamed"))
            .with(change("batch-streamed", blocks(), UpdateMode::Final))
            .into(),
    ];
    for args in calls {
        let kind = args.kind();
        bench.call(args, None).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
    let names = ["added", "edited", "replaced", "appended", "streamed", "snapshot", "imported", "batched"];
    names.into_iter().chain(["batch-streamed"]).map(id).collect()
}

async fn rest(bench: Bench) {
    let hidden = bench.profile.hides.join(" ");
    let (before, behind) = around_the_text();
    for (number, text) in ["nothing to hide".to_owned(), format!("before {hidden} after")].iter().enumerate()
    {
        let bench = bench.for_tenant(&format!("n{number}"));
        let given = Content::from_json(format!("{before}{text}{behind}")).expect("an array");
        let metadata = odd_metadata(text);
        let written = write_in_every_way(&bench, &given, &metadata).await;
        for name in written {
            let read = bench.db.thread("t").get(name.clone()).await.expect("a read").expect("it is there");
            let json = read.content.as_json();
            let is_kept = match number {
                0 => json == given.as_json(),
                _ => {
                    json.starts_with(&format!("{before}before "))
                        && json.ends_with(&format!(" after{behind}"))
                }
            };
            assert!(is_kept, "`{name}`: {}", difference(json, given.as_json()));
            if let (Some(came), Some(due)) = (read.metadata.get("odd"), metadata.get("odd")) {
                assert!(
                    came.get() == due.get(),
                    "the metadata of `{name}`: {}",
                    difference(came.get(), due.get())
                );
            }
            assert!(!["added", "imported"].contains(&name.as_str()) || read.metadata.get("odd").is_some());
        }
    }
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
