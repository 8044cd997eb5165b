//! An encrypted stack returns the same answers as a plain one, for random calls.

use proptest::{prelude::*, test_runner::Config};
use throughline::{
    Content, Delta, Message, MetadataPatch, NewMessage, NewReservation, NewThread, PersistArgs,
    PersistResult, Persistence, ReadArgs, Revision, Role, Timestamp, Title,
    layers::encrypt::{EncryptLayer, thread_keys::MemoryThreadKeys},
    memory::MemoryBackend,
    messages::{
        Add, Batch, ContentChange, Delete, Import, ImportRow, ListOpen, PageFrom, ReadPage, Reserve, Update,
        UpdateContent, UpdateMode,
    },
    threads::{LabelThread, ListThreads, RenameThread, ThreadResult, ThreadSummary},
};
use tower::{Service as _, ServiceExt as _};

use super::support::{key_ring, layer, over_memory};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c\"\\\\\u{0}é]{1,6}", Just("sealed:1:xc20p:k1:AA".to_owned())]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        text().prop_map(|text| Content::text(&text)),
        prop_oneof![
            Just("[]"),
            Just("[ ]"),
            Just(r#"[ {"type":"text","text":"a"} ]"#),
            Just(r#"[{"type":"encrypted","rev":1,"as":"whole","ciphertext":"x"}, 1.10]"#),
            Just(r#"[7,{"type":"text","text":"b"}]"#),
        ]
        .prop_map(|json| Content::from_json(json).unwrap()),
    ]
}

fn delta() -> impl Strategy<Value = Delta> {
    prop_oneof![text().prop_map(Delta::Text), content().prop_map(Delta::Blocks)]
}

fn mode() -> impl Strategy<Value = UpdateMode> {
    prop_oneof![
        3 => Just(UpdateMode::Partial),
        2 => Just(UpdateMode::Edit),
        1 => Just(UpdateMode::Final),
        1 => proptest::option::of(text()).prop_map(|reason| UpdateMode::Abandon { reason }),
    ]
}

fn patch() -> impl Strategy<Value = MetadataPatch> {
    let value = prop_oneof![Just(None), text().prop_map(Some)];
    proptest::collection::vec(("[ab]", value), 0..3).prop_map(|values| {
        values.into_iter().fold(MetadataPatch::new(), |patch, (name, value)| match value {
            Some(value) => patch.set(name, &value).unwrap(),
            None => patch.clear(name),
        })
    })
}

fn title() -> impl Strategy<Value = Title> {
    prop_oneof![Just(Title::default()), "[ab]{1,3}".prop_map(|text| Title::new(text).unwrap())]
}

fn change() -> impl Strategy<Value = ContentChange> {
    prop_oneof![content().prop_map(ContentChange::Replace), delta().prop_map(ContentChange::Append)]
}

fn write() -> impl Strategy<Value = PersistArgs> {
    let t = || "t".parse().unwrap();
    let id = || "[mn]".prop_map(|name| name.parse::<throughline::MessageId>().unwrap());
    let revision = || proptest::option::weighted(0.3, (1_u64..6).prop_map(Revision::new));
    prop_oneof![
        2 => (id(), content(), patch()).prop_map(move |(id, content, patch)| {
            let mut facts = throughline::Metadata::new();
            facts.apply(&patch);
            Add::new(t(), NewMessage::new(Role::User, content).with_id(id).with_metadata(facts)).into()
        }),
        2 => id().prop_map(move |id| {
            Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id)).into()
        }),
        6 => (id(), change(), mode(), revision()).prop_map(move |(id, change, mode, expected)| {
            UpdateContent { expected, ..UpdateContent::new(t(), id, change, mode) }.into()
        }),
        2 => (id(), patch(), revision()).prop_map(move |(id, patch, expected)| {
            Update { expected, ..Update::new(t(), id, patch) }.into()
        }),
        1 => (id(), patch(), patch()).prop_map(move |(id, patch, values)| {
            let mut absent = throughline::Metadata::new();
            absent.apply(&values);
            Update::new(t(), id, patch).with_absent(absent).into()
        }),
        2 => id().prop_map(move |id| Delete::new(t(), id).into()),
        1 => (title(), proptest::option::of(title())).prop_map(move |(title, expected)| {
            RenameThread { expected, ..RenameThread::new(t(), title) }.into()
        }),
        1 => patch().prop_map(move |patch| LabelThread::new(t()).with_metadata(patch).into()),
        1 => title().prop_map(move |title| {
            throughline::threads::CreateThread::new(NewThread::new().with_id(t()).with_title(title)).into()
        }),
    ]
}

fn call() -> impl Strategy<Value = PersistArgs> {
    prop_oneof![
        8 => write(),
        2 => proptest::collection::vec(write(), 1..4)
            .prop_map(|items| items.into_iter().fold(Batch::new(), Batch::with).into()),
        1 => ("[mno]", content(), proptest::option::of(proptest::option::of(text()))).prop_map(
            |(id, content, abandoned)| {
                let row = ImportRow::new(id.parse().unwrap(), Role::User, content, Timestamp::from_micros(1));
                Import::new("t".parse().unwrap(), vec![ImportRow { abandoned, ..row }]).into()
            }
        ),
    ]
}

fn reads() -> Vec<PersistArgs> {
    let reads: [ReadArgs; 4] = [
        ReadPage::new("t".parse().unwrap(), PageFrom::Start, 10).into(),
        ListOpen::new(10).into(),
        ListThreads::new(10).into(),
        throughline::threads::GetThread { thread: "t".parse().unwrap() }.into(),
    ];
    reads.into_iter().map(PersistArgs::Read).collect()
}

fn without_times(message: &mut Message) {
    (message.created_at, message.updated_at) = (Timestamp::from_micros(0), Timestamp::from_micros(0));
    message.lease = None;
}

/// Removes what a store cannot derive from ciphertext: the size and the preview.
fn without_sizes(entry: &mut ThreadSummary) {
    let never = Timestamp::from_micros(0);
    (entry.created_at, entry.active_at, entry.updated_at) = (never, never, never);
    (entry.bytes, entry.preview) = (0, None);
}

/// Removes all times and sizes from an answer.
fn normalize(result: &mut PersistResult) {
    match result {
        PersistResult::Add(added) => without_times(&mut added.message),
        PersistResult::Reserve(reserved) => without_times(&mut reserved.message),
        PersistResult::Batch(batched) => batched.outputs.iter_mut().for_each(normalize),
        PersistResult::Thread(
            ThreadResult::Create(changed) | ThreadResult::Rename(changed) | ThreadResult::Label(changed),
        ) => without_sizes(&mut changed.summary),
        PersistResult::Read(throughline::ReadResult::Page(page)) => {
            page.messages.iter_mut().for_each(without_times);
        }
        PersistResult::Read(throughline::ReadResult::OpenReservations(open)) => {
            open.messages.iter_mut().for_each(without_times);
        }
        PersistResult::Read(throughline::ReadResult::Thread(Some(entry))) => without_sizes(entry),
        PersistResult::Read(throughline::ReadResult::Threads(list)) => {
            list.threads.iter_mut().for_each(without_sizes);
        }
        _ => {}
    }
}

async fn answer(db: &Persistence, args: PersistArgs) -> Result<PersistResult, throughline::ErrorKind> {
    let mut db = db.clone();
    match db.ready().await.unwrap().call(args).await {
        Ok(mut response) => {
            normalize(&mut response.result);
            Ok(response.result)
        }
        Err(error) => Err(error.kind()),
    }
}

proptest! {
    #![proptest_config(Config { cases: 192, failure_persistence: None, ..Config::default() })]

    #[test]
    fn an_encrypted_stack_returns_the_same_answers_as_a_plain_one(
        calls in proptest::collection::vec(call(), 1..24),
        thread_keys in any::<bool>(),
        reuses_ids in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let layer = if thread_keys {
                EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new())
            } else {
                layer()
            };
            let encrypted = over_memory(&layer);
            let plain = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
            let new = NewThread::new().with_id("t".parse().unwrap()).reusing_ids();
            let first = reuses_ids.then(|| throughline::threads::CreateThread::new(new).into());
            for args in first.into_iter().chain(calls) {
                for args in std::iter::once(args).chain(reads()) {
                    let expected = answer(&plain, args.clone()).await;
                    prop_assert_eq!(answer(&encrypted, args.clone()).await, expected, "{:?}", args);
                }
            }
            Ok(())
        })?;
    }
}
