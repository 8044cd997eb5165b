//! The laws about forwarded calls and the order of calls.

use throughline_core::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, ReadArgs, Site,
    messages::{Add, ContentChange, Update, UpdateContent, UpdateMode},
    threads::{LabelThread, ThreadArgs},
};

use crate::{
    laws::{
        bench::Bench,
        difference::{assert_same, difference},
        every_field,
        law::laws,
        operations,
        probe::{Act, Unfit},
    },
    shorthand::{id, thread_id},
};

laws! {
    All "laws.layer_is_described_once" "the description contains the layer once, under its name, between its neighbors" => named;
    All "laws.every_operation_visits_the_layer_once" "every operation visits the layer once and is forwarded once" => visited;
    All "laws.forwarded_call_keeps_its_arguments" "the forwarded call has the same operation, ids and arguments" => arguments;
    Transparent "laws.transparent_layer_forwards_the_exact_call" "a transparent layer forwards the call byte for byte, except for what its profile declares with `adds`" => unchanged;
    Transparent "laws.transparent_layer_returns_the_exact_answer" "a transparent layer returns the inner answer byte for byte" => answer;
    All "laws.receipt_and_extensions_pass_through" "the receipt and the extensions of call and answer pass through the layer, in both directions" => receipt;
    All "laws.context_passes_through" "tenant, actor, call site, key and deadline of the call pass through" => context;
    All "laws.inner_service_is_called_only_when_ready" "the layer calls the inner service only through the instance that reported readiness" => readiness;
    All "laws.inner_readiness_error_is_returned" "an error of the inner readiness check is returned, and the next call succeeds" => readiness_error;
    All "laws.inner_readiness_panic_is_attributed" "a panic of the inner readiness check is answered with its site, and the next call succeeds" => readiness_panic;
    All "laws.repeated_key_gets_the_first_answer" "a call that is repeated with its key gets the first answer" => key;
}

const TEXT: &str = "a plain text";

async fn named(bench: Bench) {
    let names: Vec<_> = bench.db.describe().names().collect();
    let at = |name: &str| {
        names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name}: {names:?}"))
    };
    let mut sites: Vec<usize> = bench.profile.sites.iter().map(|site| at(site)).collect();
    sites.insert(0, at("outside"));
    sites.push(at("inside"));
    assert!(sites.is_sorted_by(|before, behind| before < behind), "{names:?}");
    // And it is that stack which serves.
    bench.db.thread("t").add(NewMessage::user(TEXT)).await.expect("it is added");
    assert_eq!((bench.outside.count(), bench.passed(throughline_core::OpKind::Add).len()), (1, 1));
}

async fn visited(bench: Bench) {
    for (case, args) in bench.operations(TEXT) {
        let kind = args.kind();
        bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let (outside, inside) = (bench.outside.visits(), bench.passed(kind));
        assert_eq!((outside.len(), inside.len()), (1, 1), "{case}");
        assert!(inside[0].answer.is_some(), "{case} was not seen through");
    }
}

/// Every call, and its forwarded form; also for calls that the store refuses.
async fn passed_on(bench: &Bench) -> Vec<(&'static str, PersistArgs, Vec<PersistArgs>)> {
    let mut calls = Vec::new();
    for (case, args) in bench.operations(TEXT) {
        bench.call(args.clone(), None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let passed = bench.passed(args.kind());
        calls.push((case, args, passed.into_iter().map(|visit| visit.args).collect()));
    }
    for (case, args) in operations::refused() {
        let answer = bench.call(args.clone(), None).await;
        assert!(answer.is_err(), "{case}: its condition does not hold, and it was made");
        let passed = bench.passed(args.kind());
        calls.push((case, args, passed.into_iter().map(|visit| visit.args).collect()));
    }
    for (case, args) in every_field::writes(TEXT).into_iter().chain(every_field::reads()) {
        let due = PersistError::new(ErrorKind::NotFound, "from inside").with_effect(Effect::NotApplied);
        let (answer, passed) = bench.scripted(args.clone(), None, Act::Fail(due)).await;
        let Err(error) = answer else { panic!("{case}: answered as done, and it was refused inside") };
        if !bench.refuses_itself(&args, &error, &passed) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{case}: {error}");
            calls.push((case, args, passed.into_iter().map(|visit| visit.args).collect()));
        }
    }
    calls
}

/// Removes the additions that the layer has declared from a call.
pub(super) fn take_back_additions(bench: &Bench, passed: &mut PersistArgs, asked: &PersistArgs) {
    if let (PersistArgs::Batch(passed), PersistArgs::Batch(asked)) = (&mut *passed, asked) {
        for (passed, asked) in passed.items.iter_mut().zip(&asked.items) {
            take_back_additions(bench, passed, asked);
        }
    }
    bench.profile.adds.iter().for_each(|take_out| take_out(passed, asked));
}

async fn arguments(bench: Bench) {
    let (sets_expected_revisions, buffers) = (bench.profile.sets_expected_revisions, bench.profile.buffers);
    for (case, asked, mut passed) in passed_on(&bench).await {
        assert_eq!(passed.len(), 1, "{case}");
        if sets_expected_revisions || buffers {
            take_back_revisions(&mut passed[0], &asked);
        }
        if bench.profile.limits_content {
            assert_limited(case, &passed[0]);
            take_back_limits(&mut passed[0], &asked);
        }
        if !bench.profile.hides.is_empty() {
            take_back_rescaled_limits(&mut passed[0], &asked);
        }
        take_back_additions(&bench, &mut passed[0], &asked);
        let (came, due) = (without_content(&passed[0], buffers), without_content(&asked, buffers));
        assert!(came == due, "{case}: {}", difference(&came, &due));
    }
}

/// Asserts that a layer with declared limits limits every append, every patch of metadata, and the answers of every batch.
fn assert_limited(case: &str, passed: &PersistArgs) {
    if let PersistArgs::Batch(batch) = passed {
        assert!(batch.max_answer_bytes.is_some(), "{case}: a batch without a limit of its answers");
    }
    for item in passed.each() {
        match item {
            PersistArgs::UpdateContent(UpdateContent { change, max_content_bytes, .. }) => {
                let appends = matches!(change, ContentChange::Append(_)) && !change.is_none();
                assert!(!appends || max_content_bytes.is_some(), "{case}: an append without a limit");
            }
            PersistArgs::Update(Update { metadata, where_absent, max_metadata_bytes, .. }) => {
                let is_limited =
                    (metadata.is_empty() && where_absent.is_empty()) || max_metadata_bytes.is_some();
                assert!(is_limited, "{case}: an update of metadata without a limit");
            }
            PersistArgs::Thread(ThreadArgs::Label(LabelThread { metadata, max_metadata_bytes, .. })) => {
                let is_limited = metadata.is_empty() || max_metadata_bytes.is_some();
                assert!(is_limited, "{case}: a patch of metadata without a limit");
            }
            _ => {}
        }
    }
}

/// Removes the revisions that the layer has set. It must keep a revision of the caller.
fn take_back_revisions(passed: &mut PersistArgs, asked: &PersistArgs) {
    match (passed, asked) {
        (PersistArgs::UpdateContent(passed), PersistArgs::UpdateContent(asked))
            if asked.expected.is_none() =>
        {
            passed.expected = None;
        }
        (PersistArgs::Add(passed), PersistArgs::Add(asked)) if asked.revision.is_none() => {
            passed.revision = None;
        }
        (PersistArgs::Reserve(passed), PersistArgs::Reserve(asked)) if asked.revision.is_none() => {
            passed.revision = None;
        }
        (PersistArgs::Import(passed), PersistArgs::Import(asked)) if asked.revisions.is_empty() => {
            passed.revisions.clear();
        }
        (PersistArgs::Batch(passed), PersistArgs::Batch(asked)) => {
            for (passed, asked) in passed.items.iter_mut().zip(&asked.items) {
                take_back_revisions(passed, asked);
            }
        }
        _ => {}
    }
}

/// Removes the limits that the layer has set. It can only lower a limit of the caller.
fn take_back_limits(passed: &mut PersistArgs, asked: &PersistArgs) {
    each_limit(passed, asked, &mut |passed, asked| {
        if passed.is_some_and(|set| asked.is_none_or(|most| set <= most)) {
            *passed = asked;
        }
    });
}

/// Every limit that a caller can set, with the original one.
fn each_limit(
    passed: &mut PersistArgs,
    asked: &PersistArgs,
    change: &mut impl FnMut(&mut Option<u64>, Option<u64>),
) {
    match (passed, asked) {
        (PersistArgs::UpdateContent(passed), PersistArgs::UpdateContent(asked)) => {
            change(&mut passed.max_content_bytes, asked.max_content_bytes);
        }
        (PersistArgs::Update(passed), PersistArgs::Update(asked)) => {
            change(&mut passed.max_metadata_bytes, asked.max_metadata_bytes);
        }
        (PersistArgs::Thread(ThreadArgs::Label(passed)), PersistArgs::Thread(ThreadArgs::Label(asked))) => {
            change(&mut passed.max_metadata_bytes, asked.max_metadata_bytes);
        }
        (PersistArgs::Batch(passed), PersistArgs::Batch(asked)) => {
            change(&mut passed.max_answer_bytes, asked.max_answer_bytes);
            for (passed, asked) in passed.items.iter_mut().zip(&asked.items) {
                each_limit(passed, asked, change);
            }
        }
        _ => {}
    }
}

/// Removes the limits that the layer has set for the changed content. It must keep a limit of the caller, which can
/// grow with the content: four times, and 4 KiB for the additions. A higher one does not limit anything.
fn take_back_rescaled_limits(passed: &mut PersistArgs, asked: &PersistArgs) {
    each_limit(passed, asked, &mut |passed, asked| {
        let grown = |most: u64| most.saturating_mul(4).saturating_add(4096);
        if passed.zip(asked).is_some_and(|(set, most)| set <= grown(most)) {
            *passed = asked;
        }
    });
}

/// An operation as JSON with every content field emptied: no layer may change the rest. A layer that buffers text
/// can append or replace.
fn without_content(args: &PersistArgs, buffers: bool) -> String {
    use throughline_core::{
        Content, Delta, Metadata,
        messages::{CarriesContent as _, FieldValueMut},
    };
    let mut args = args.clone();
    if buffers {
        appends_nothing(&mut args);
    }
    // The words of a search are those of what is stored.
    if let PersistArgs::Read(ReadArgs::Search(search)) = &mut args {
        search.query.clear();
    }
    // So is the field of a find.
    if let PersistArgs::Read(ReadArgs::Find(find)) = &mut args {
        find.metadata = Metadata::new();
    }
    for field in args.content_fields_mut() {
        match field.value {
            FieldValueMut::Whole(content) => *content = Content::empty(),
            FieldValueMut::Delta(delta) => *delta = Delta::empty(),
            FieldValueMut::Metadata(metadata) => *metadata = Metadata::new(),
            FieldValueMut::Reason(text) | FieldValueMut::Preview(text) => text.clear(),
            FieldValueMut::Title(title) => *title = throughline_core::Title::default(),
        }
    }
    serde_json::to_string(&args).expect("it serializes")
}

/// Takes away how the content of messages that are written changes.
fn appends_nothing(args: &mut PersistArgs) {
    match args {
        PersistArgs::UpdateContent(update) if !matches!(update.mode, UpdateMode::Edit) => {
            update.change = ContentChange::none();
        }
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(appends_nothing),
        _ => {}
    }
}

async fn unchanged(bench: Bench) {
    for (case, args, mut passed) in passed_on(&bench).await {
        if bench.profile.limits_content {
            passed.iter_mut().for_each(|passed| take_back_limits(passed, &args));
        }
        assert_eq!(passed.len(), 1, "{case}");
        take_back_additions(&bench, &mut passed[0], &args);
        assert_same(case, &passed[0], &args);
    }
}

async fn answer(bench: Bench) {
    for (case, args) in bench.operations(TEXT) {
        let kind = args.kind();
        let response = bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let came = bench.passed(kind).remove(0).answer.expect("it answered").expect("well");
        let left = bench.outside.visits().remove(0).answer.expect("it answered").expect("well");
        assert_same(case, &left.0, &came.0);
        assert_same(case, &response.result, &came.0);
        assert_eq!((left.1, response.receipt), (came.1, came.1), "{case}");
    }
}

async fn receipt(bench: Bench) {
    for (case, args) in bench.operations(TEXT) {
        let kind = args.kind();
        let response = bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let (outside, inside) = (bench.outside.visits().remove(0), bench.passed(kind).remove(0));
        let came = inside.answer.expect("it answered").expect("well").1;
        assert_eq!(response.receipt, came, "{case}: the receipt");
        assert!(inside.marked_down, "{case}: what was left for layers further in");
        assert!(outside.marked_up, "{case}: what was left for layers further out");
    }
}

async fn context(bench: Bench) {
    let db =
        bench.db.for_tenant("tenant".parse().expect("a valid id")).with_actor("actor").with_call_site("site");
    let hour = std::time::Duration::from_secs(3600);
    db.thread("t")
        .add(NewMessage::user(TEXT).with_id(id("m")))
        .key("k")
        .deadline(hour)
        .await
        .expect("it is added");
    let (outside, inside) =
        (bench.outside.visits().remove(0).context, bench.inside.visits().remove(0).context);
    assert_eq!(inside.tenant().as_str(), "tenant");
    assert_eq!((inside.actor(), inside.call_site()), (Some("actor"), Some("site")));
    assert_eq!((inside.idempotency(), inside.deadline()), (outside.idempotency(), outside.deadline()));
    assert_eq!(inside.idempotency().map(|idempotency| idempotency.key.as_str()), Some("k"));
    assert_eq!((inside.call_id(), inside.kind()), (outside.call_id(), outside.kind()));
    assert_eq!((inside.thread(), inside.message()), (outside.thread(), outside.message()));
}

async fn readiness(bench: Bench) {
    for (case, args) in bench.operations(TEXT) {
        // Not at once: a layer that does not wait calls an instance that is not ready.
        bench.inside.be_unready(2);
        bench.call(args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(bench.inside.unready_calls(), 0, "{case}: called without being ready");
    }
    // Several at once: a clone that was not asked is not ready, whatever the original was.
    let calls = (0..8).map(|number| {
        let thread = bench.db.thread(format!("{number}"));
        tokio::spawn(async move { thread.add(NewMessage::user(TEXT)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("it is added");
    }
    assert_eq!(bench.inside.unready_calls(), 0, "called at once without being ready");
}

async fn readiness_error(bench: Bench) {
    let refusal = PersistError::new(ErrorKind::Denied, "not to be called").with_effect(Effect::NotApplied);
    bench.inside.unfit(Unfit::Fails(refusal));
    unfit(&bench, ErrorKind::Denied).await;
}

async fn readiness_panic(bench: Bench) {
    bench.inside.unfit(Unfit::Panics);
    unfit(&bench, ErrorKind::Panicked).await;
}

/// The inner service is not ready: the error states this and names its site.
async fn unfit(bench: &Bench, kind: ErrorKind) {
    let thread = bench.db.thread("t");
    let error = thread.add(NewMessage::user(TEXT)).await.expect_err("it cannot be called");
    assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{error}");
    assert_eq!(bench.inside.count(), 0, "called in spite of it");
    assert_eq!(error.site(), Some(&Site::Layer("inside".into())), "{error}");
    thread.add(NewMessage::user(TEXT)).await.expect("the next call");
}

async fn key(bench: Bench) {
    for (case, args) in bench.writes(TEXT) {
        let first =
            bench.call(args.clone(), Some(case)).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let again =
            bench.call(args, Some(case)).await.unwrap_or_else(|error| panic!("{case} again: {error}"));
        assert!(!first.result.is_deduplicated() && again.result.is_deduplicated(), "{case}");
        assert_eq!(again.receipt.position, None, "{case}");
    }
    one_key_for_two(&bench).await;
}

/// A key is of its thread and its tenant, and of what it was first used for.
async fn one_key_for_two(bench: &Bench) {
    let add = |thread: &str, text: &str| -> PersistArgs {
        let message = NewMessage::user(text).with_id(id("keyed"));
        Add::new(thread_id(thread), message).into()
    };
    let other = bench.for_tenant("other");
    for (case, bench, args) in [
        ("first", bench, add("keyed", "one")),
        ("in another thread", bench, add("keyed-too", "two")),
        ("in another tenant", &other, add("keyed", "three")),
    ] {
        let answer = bench.call(args, Some("a key")).await;
        let answer = answer.unwrap_or_else(|error| panic!("the key, {case}: {error}"));
        assert!(!answer.result.is_deduplicated(), "the key, {case}: answered as the first call");
    }
    let error = bench.call(add("keyed", "something else"), Some("a key")).await;
    let error = error.expect_err("the key was used for something else").kind();
    assert_eq!(error, ErrorKind::Conflict, "the key was used for something else");
}
