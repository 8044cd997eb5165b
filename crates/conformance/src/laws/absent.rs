//! The rule of the wire format for optional values: a value that is not there is absent from the JSON, and reading accepts both an
//! absent member and `null`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use throughline_core::{
    Effect, ErrorKind, PersistArgs, PersistError, PersistResult, Persistence, TenantId,
    ids::AttemptId,
    messages::{Origin, ResolveId},
    replication::{BeginCapture, Image, ReadImages},
    sessions::{
        AdoptSession, BackfillRuntime, BeginRun, Claimer, ConfirmRun, FailRun, Failure, HandOff, PinSession,
        RunReport,
    },
    threads::DeleteThread,
};
use throughline_memory::MemoryBackend;

use super::{
    answers,
    every_field::{self, id, runtime},
    operations,
};

/// The members in which `null` has a meaning of its own, as the end of a path of members. `*` is any name.
const NULL_HAS_A_MEANING: &[&str] = &[
    // A patch: `null` removes the member of the metadata, the label or the owner.
    "update.metadata.*",
    "label.metadata.*",
    "label.labels.*",
    "label.owner",
    // The message was abandoned, and the reason is unknown.
    "rows.abandoned",
    // The answer to a read of one thing that does not exist.
    "read.get",
    "read.content",
    "read.thread",
];

/// The members with JSON of the host, in which `null` is a value.
const OF_THE_HOST: &[&str] = &["metadata", "whereAbsent", "content", "blocks", "replace"];

/// A value of a wire type.
struct Sample {
    name: String,
    json: Value,
    /// Reads JSON as the type, and writes it again.
    again: fn(&Value) -> Option<Value>,
}

impl Sample {
    fn of<T: Serialize + DeserializeOwned>(name: impl Into<String>, value: &T) -> Self {
        let again = |json: &Value| {
            // As text: a wire type keeps the text of content.
            let read: T = serde_json::from_str(&json.to_string()).ok()?;
            Some(written(&read))
        };
        Self { name: name.into(), json: written(value), again }
    }
}

fn written(value: &impl Serialize) -> Value {
    let text = serde_json::to_string(value).expect("it serializes");
    // A `Value` has no lone surrogate.
    serde_json::from_str(&text.replace(r"\ud83d", "?")).expect("its own JSON")
}

/// A member of an object: the names and the indexes that lead to it.
type Path = Vec<String>;

/// Every member of every object, except the JSON of the host.
fn members(json: &Value, path: &mut Path, found: &mut Vec<Path>) {
    let inner: Vec<(String, &Value)> = match json {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        _ => return,
    };
    for (name, value) in inner {
        let is_of_the_host = OF_THE_HOST.contains(&name.as_str()) && !value.is_null();
        path.push(name);
        if json.is_object() {
            found.push(path.clone());
        }
        if !is_of_the_host {
            members(value, path, found);
        }
        path.pop();
    }
}

fn members_of(json: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    members(json, &mut Path::new(), &mut found);
    found
}

/// Whether `null` at this path has a meaning of its own.
fn may_be_null(path: &Path) -> bool {
    let names: Vec<&str> =
        path.iter().map(String::as_str).filter(|name| name.parse::<usize>().is_err()).collect();
    NULL_HAS_A_MEANING.iter().any(|end| {
        let end: Vec<&str> = end.split('.').collect();
        names.len() >= end.len()
            && names[names.len() - end.len()..].iter().zip(&end).all(|(name, end)| name == end || *end == "*")
    })
}

fn at<'j>(json: &'j mut Value, path: &[String]) -> &'j mut Value {
    path.iter().fold(json, |json, name| match json {
        Value::Array(items) => &mut items[name.parse::<usize>().expect("an index")],
        json => &mut json[name.as_str()],
    })
}

/// The members that are `null` without a meaning of it.
fn nulls_in(json: &Value, case: &str) -> Vec<String> {
    let pointed = |path: &Path| {
        path.iter().try_fold(json, |json, name| match json {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            json => json.get(name),
        })
    };
    let is_null = |path: &Path| pointed(path).is_some_and(Value::is_null) && !may_be_null(path);
    let paths = members_of(json).into_iter().filter(is_null);
    paths.map(|path| format!("{case}: `{}` is null", path.join("."))).collect()
}

/// The faults of a sample, and the number of its members that can be absent.
fn faults(sample: &Sample) -> (Vec<String>, usize) {
    let Sample { name, json, again } = sample;
    let mut faults = nulls_in(json, name);
    if again(json).as_ref() != Some(json) {
        // A member that is null and absent after it was read is reported above.
        if faults.is_empty() {
            faults.push(format!("{name}: its own JSON is read as another value"));
        }
        return (faults, 0);
    }
    let mut optional = 0;
    for path in members_of(json) {
        let (member, object) = path.split_last().expect("a member has a name");
        let mut without = json.clone();
        at(&mut without, object).as_object_mut().expect("an object").remove(member);
        // A member that must be there.
        let Some(absent) = again(&without) else { continue };
        optional += 1;
        let path_text = path.join(".");
        faults.extend(nulls_in(&absent, &format!("{name} without `{path_text}`")));
        let mut with_null = json.clone();
        *at(&mut with_null, &path) = Value::Null;
        // `null` is no value of a list, a flag or a number with a default.
        if let Some(null) = again(&with_null)
            && null != absent
            && !may_be_null(&path)
        {
            faults.push(format!("{name}: `null` for `{path_text}` is not read as its absence"));
        }
    }
    (faults, optional)
}

/// Every operation, every answer of a memory store to them, every answer to a read, every row image, and errors.
async fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let every = every_field::writes("early").into_iter().chain(every_field::reads());
    for (name, args) in every.chain(operations::all("early")) {
        samples.push(Sample::of::<PersistArgs>(name, &args));
        if let PersistArgs::Read(read) = &args {
            let answer = answers::answer(read, &TenantId::default(), "early", 7);
            samples.push(Sample::of::<PersistResult>(format!("the answer to {name}"), &answer));
        }
    }
    let db = Persistence::builder().backend(MemoryBackend::new()).build().expect("a stack");
    for (name, args) in operations::all("early") {
        let answer = db.run_args(args).await.unwrap_or_else(|error| panic!("{name}: {error}")).result;
        samples.push(Sample::of(format!("the real answer to {name}"), &answer));
    }
    for (name, args) in more() {
        let answer = db.run_args(args).key(name).await;
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}")).result;
        samples.push(Sample::of(format!("the real answer to {name}"), &answer));
    }
    for (name, read) in every_field::reads() {
        if let Ok(answer) = db.run_args(read).await {
            samples.push(Sample::of(format!("the real answer to {name}"), &answer.result));
        }
    }
    let begun = db.on_replica(BeginCapture::WHOLE).await.expect("a capture");
    let images = db.read(ReadImages::new(begun.cursor, 1000)).await.expect("images").images;
    for image in images {
        samples.push(Sample::of::<Image>(format!("the image of a {}", image.part.as_str()), &image));
    }
    let error = PersistError::new(ErrorKind::Conflict, "a key was used with other content");
    samples.push(Sample::of("an error", &error));
    let (thread, message) = (operations::t(), id("m"));
    samples.push(Sample::of("a full error", &error.with_effect(Effect::NotApplied).about(&thread, &message)));
    samples
}

/// Operations with answers and rows that the others do not cover.
fn more() -> Vec<(&'static str, PersistArgs)> {
    let (agent, thread) = (|| id("h"), operations::t);
    let claimer = || Claimer::new(id("p"), runtime());
    let begin = |attempt: &str| BeginRun::new(agent(), thread(), claimer()).named(id(attempt));
    let origin = HandOff { agent: id("g"), thread: thread(), attempt: Some(id("run")) };
    let pin = PinSession {
        agent: agent(),
        thread: thread(),
        attempt: id("first"),
        session: id("session"),
        work_dir: Some(id("/work")),
    };
    let report = || RunReport::of(id("session")).in_directory(id("/work"));
    let ended = |attempt: &str| -> (_, _, AttemptId) { (agent(), thread(), id(attempt)) };
    let (of, on, attempt) = ended("first");
    let confirm = ConfirmRun { agent: of, thread: on, attempt, report: report() };
    let (of, on, attempt) = ended("second");
    let fail = FailRun {
        agent: of,
        thread: on,
        attempt,
        failure: Failure::Other,
        detail: Some("early".to_owned()),
        report: report(),
    };
    let adopted = every_field::writes("early").into_iter().find(|(name, _)| *name == "a full adoption");
    let (_, adopted) = adopted.expect("a sample");
    let bare = AdoptSession { agent: id("i"), thread: thread(), pointer: None, runs: Vec::new() };
    vec![
        ("resolve-item", ResolveId::new(thread(), Origin::new().in_turn(id("turn")).item(id("item"))).into()),
        ("resolve-event", ResolveId::new(thread(), Origin::new().event(id("event"))).into()),
        ("begin", begin("first").assigning(id("session")).handed_off(origin).into()),
        ("pin", pin.into()),
        ("confirm", confirm.into()),
        ("begin-again", begin("second").into()),
        ("fail", fail.into()),
        ("begin-last", begin("third").in_directory(id("/other")).into()),
        ("adopt", adopted),
        ("adopt-nothing", bare.into()),
        ("backfill", BackfillRuntime { agent: agent(), thread: thread(), dry_run: true }.into()),
        ("delete-thread", DeleteThread { thread: id("created") }.into()),
    ]
}

#[tokio::test]
async fn an_absent_optional_is_absent_from_the_json() {
    let (mut all, mut optional) = (Vec::new(), 0);
    let samples = samples().await;
    for sample in &samples {
        let (faults, count) = faults(sample);
        all.extend(faults);
        optional += count;
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    // The walk is not empty: most operations, answers and images have optional members.
    assert!(optional > 500, "only {optional} members of {} samples can be absent", samples.len());
    for kind in ["thread", "message", "gone", "name", "key", "session", "change"] {
        let name = format!("the image of a {kind}");
        assert!(samples.iter().any(|sample| sample.name == name), "there is no image of a {kind}");
    }
    assert!(samples.iter().any(|sample| matches!(sample.name.as_str(), "the real answer to begin-last")));
}

#[tokio::test]
async fn the_test_finds_a_null_and_a_refused_null() {
    #[derive(Serialize, serde::Deserialize)]
    struct WritesNull {
        next: Option<u32>,
    }
    #[derive(Serialize, serde::Deserialize)]
    struct ReadsNullAsAValue {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "or_one")]
        next: Option<u32>,
    }
    fn or_one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        let next: Option<u32> = serde::Deserialize::deserialize(deserializer)?;
        Ok(next.or(Some(1)))
    }
    let found = |sample: Sample| faults(&sample).0;
    assert_eq!(
        found(Sample::of("s", &WritesNull { next: None })),
        ["s: `next` is null", "s without `next`: `next` is null"]
    );
    assert_eq!(found(Sample::of("s", &WritesNull { next: Some(2) })), ["s without `next`: `next` is null"]);
    assert_eq!(
        found(Sample::of("s", &ReadsNullAsAValue { next: Some(2) })),
        ["s: `null` for `next` is not read as its absence"]
    );
}

/// `null` for an absent value, as versions before the rule wrote it.
#[test]
fn answers_with_null_are_read() {
    for (json, due) in [
        (
            r#"{"read":{"threads":{"threads":[],"next":null,"position":7}}}"#,
            r#"{"read":{"threads":{"threads":[],"position":7}}}"#,
        ),
        (
            r#"{"read":{"planPrune":{"thread":"t","generation":1,"through":null,"messages":0,"bytes":0}}}"#,
            r#"{"read":{"planPrune":{"thread":"t","generation":1,"messages":0,"bytes":0}}}"#,
        ),
        (r#"{"read":{"get":null}}"#, r#"{"read":{"get":null}}"#),
    ] {
        let read: PersistResult = serde_json::from_str(json).expect("the former JSON");
        assert_eq!(serde_json::to_string(&read).expect("it serializes"), due);
    }
}
