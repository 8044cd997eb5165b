//! REL-13: two tenants with the same ids, and a layer that means harm.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use throughline::{
    Call, Context, Delta, ErrorKind, MetadataPatch, NewMessage, NewReservation, Next, Operation, PersistArgs,
    PersistError, Persistence, Phase, Plugin, Position, Reply, Result, Role, ThreadId,
    changes::{ChangeScope, ReadChanges},
    layers::scope::ScopeLayer,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, PageFrom, Reserve, Update, UpdateContent, UpdateMode},
    threads::ListThreads,
};

/// Calls a second time with the context of whoever called before, now and then.
struct Hostile {
    before: Mutex<Option<Context>>,
    count: AtomicU64,
    swapped: Arc<AtomicU64>,
}

impl Plugin for Hostile {
    fn name(&self) -> &str {
        "hostile"
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, mut call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let mine = call.context.clone();
        let before = self.before.lock().unwrap().replace(mine.clone());
        if self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(5)
            && let Some(before) = before
            && before.tenant() != mine.tenant()
        {
            self.swapped.fetch_add(1, Ordering::Relaxed);
            call.context = before;
        }
        next.run(call).await
    }
}

fn thread(random: &mut fastrand::Rng) -> ThreadId {
    format!("t{}", random.u8(0..4)).parse().unwrap()
}

/// Something that a host may ask, with the mark of its tenant wherever it can say something.
fn ask(random: &mut fastrand::Rng, mark: &str) -> PersistArgs {
    let (t, number) = (thread(random), random.u8(0..20));
    let m = || format!("m{number}").parse().unwrap();
    let change = || ContentChange::Append(Delta::text(mark));
    let add = || throughline::messages::Add::new(t.clone(), NewMessage::user(mark).with_id(m()));
    match random.u8(0..12) {
        0 | 1 => add().into(),
        2 => Reserve::new(t.clone(), NewReservation::new(Role::Assistant).with_id(m())).into(),
        3 => UpdateContent::new(t.clone(), m(), change(), UpdateMode::Partial).into(),
        4 => UpdateContent::new(t.clone(), m(), change(), UpdateMode::Final).into(),
        5 => Update::new(t.clone(), m(), MetadataPatch::new().set("note", mark).unwrap()).into(),
        6 => Batch::new().with(add()).into(),
        7 => throughline::messages::GetMessage { thread: t.clone(), id: m() }.into(),
        8 => throughline::messages::ReadPage::new(t.clone(), PageFrom::End, 10).into(),
        9 => ListThreads::new(10).into(),
        10 => throughline::messages::ListOpen::new(10).into(),
        _ => ReadChanges::new(ChangeScope::Tenant, Position::new(0), 5).into(),
    }
}

/// How many calls are made.
const CALLS: usize = 100_000;

#[tokio::test]
async fn rel_13_no_byte_of_another_tenant_whatever_a_layer_does() {
    let scope = ScopeLayer::new();
    let authority = scope.authority();
    let swapped = Arc::<AtomicU64>::default();
    let hostile =
        Hostile { before: Mutex::default(), count: AtomicU64::new(0), swapped: Arc::clone(&swapped) };
    let db =
        Persistence::builder().layer(scope).plugin(hostile).backend(MemoryBackend::new()).build().unwrap();
    let tenants = ["mark-of-a", "mark-of-b"].map(|mark| {
        let tenant = || mark.parse().unwrap();
        (mark, db.for_tenant(tenant()).with_credential(authority.everything().of_tenant(tenant())))
    });
    let seed = 13;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut answered, mut refused, mut foreign) = (0, 0, 0);
    for _ in 0..CALLS {
        let me = random.usize(0..2);
        let ((mark, db), (other, _)) = (&tenants[me], &tenants[1 - me]);
        let args = ask(&mut random, mark);
        let reaches_over = random.u8(0..4) == 0;
        let db = if reaches_over { db.for_tenant(other.parse().unwrap()) } else { db.clone() };
        let told = match tower::ServiceExt::oneshot(db, args).await {
            Ok(response) => {
                assert!(!reaches_over, "seed {seed}: answered in the name of another tenant");
                answered += 1;
                serde_json::to_string(&response.result).unwrap()
            }
            Err(error) => {
                foreign += usize::from(error.kind() == ErrorKind::ContractViolation);
                refused += 1;
                told(&error, reaches_over)
            }
        };
        assert!(!told.contains(other), "seed {seed}: {mark} was told {told}");
    }
    // What a layer did in the name of the other tenant, it did not do there: each has what is its own.
    for (index, (_, db)) in tenants.iter().enumerate() {
        let other = tenants[1 - index].0;
        for entry in db.threads(ListThreads::new(100)).await.unwrap().entries {
            let mut walk =
                db.thread(entry.thread).walk(PageFrom::Start, throughline::messages::Visibility::All);
            while let Some(message) = walk.next().await.unwrap() {
                assert!(!serde_json::to_string(&message).unwrap().contains(other), "seed {seed}");
            }
        }
    }
    let swapped = swapped.load(Ordering::Relaxed);
    eprintln!(
        "seed {seed}: {answered} answered, {refused} refused, {swapped} contexts swapped, {foreign} of them noticed"
    );
    assert!(answered > CALLS / 4 && swapped > 0);
    assert_eq!(foreign as u64, swapped, "each swap is a violation of the contract");
}

fn told(error: &PersistError, reaches_over: bool) -> String {
    if reaches_over {
        assert_eq!(
            (error.kind(), error.detail()),
            (ErrorKind::Denied, "the capability is for another tenant")
        );
    }
    format!("{error} {error:?}")
}
