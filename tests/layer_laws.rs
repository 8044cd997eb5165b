//! The laws for layers, for every built-in layer and every way to add a layer to a stack.

use std::{process::ExitCode, time::Duration};

use throughline::{
    Call, Content, ErrorKind, NewMessage, Next, Operation, PersistArgs, PersistError, PersistRequest, Phase,
    Plugin, PluginLayer, Reply, Result, Role,
    changes::GetCursor,
    layers::{
        audit::{AuditKey, AuditLayer},
        bulk_gate::BulkGateLayer,
        chaos::{ChaosLayer, Fault, Rule},
        disk_guard::DiskGuardLayer,
        encrypt::{EncryptLayer, Key, KeyRing, thread_keys::MemoryThreadKeys},
        idempotency::RequireKeyLayer,
        limits::LimitsLayer,
        metrics::MetricsLayer,
        quota::{Quota, QuotaLayer},
        redact::RedactLayer,
        retry::RetryLayer,
        scope::{ScopeLayer, Verb},
        serialize::SerializeLayer,
        slow_log::SlowLogLayer,
        timeout::TimeoutLayer,
        trace::TraceLayer,
        transform::{Edits, HeldTail, Rewrite, TextPart, Transform, TransformLayer},
    },
    memory::MemoryBackend,
    messages::Delete,
    pipeline::LayerList,
    plugin::{Event, NextRequest, from_fn, observe, respond},
    redirect::{redirect, redirect_messages},
};
use throughline_conformance::laws::{self, Around, LayerFixture, LayerProfile, LayerSet};

/// A plugin that only forwards calls.
struct Passes(&'static str);

impl Plugin for Passes {
    fn name(&self) -> &str {
        self.0
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        next.run(call).await
    }
}

fn passes(
    request: PersistRequest,
    next: NextRequest,
) -> impl Future<Output = Result<throughline::PersistResponse>> {
    next.run(request)
}

/// A stack with the layer of the expression `$layer`.
macro_rules! layer {
    ($profile:expr, $layer:expr) => {
        Box::new(($profile, move |around: &Around| {
            around.outside().layer($layer).layer(around.inside()).backend(around.backend()).build()
        })) as Box<dyn LayerFixture>
    };
}

/// An addition of so many bytes of text.
fn large_add(bytes: usize) -> throughline::messages::Add {
    let message = NewMessage::new(Role::User, Content::text(&"x".repeat(bytes)));
    throughline::messages::Add::new("t".parse().expect("a valid id"), message)
}

/// The built-in layers, in the order of production.
fn built_in() -> LayerSet {
    let refused = |thread: &str| {
        throughline::messages::Add::new(thread.parse().expect("a valid id"), NewMessage::user("x"))
    };
    let micros = Duration::from_micros;
    let scope = ScopeLayer::new();
    let verbs = Verb::ALL.iter().copied().filter(|verb| *verb != Verb::Consume);
    let capability = scope.authority().everything().only(verbs);
    // In two parts, so that no secret scanner reports this file.
    let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3));
    let key_ring = || KeyRing::new(Key::new("k".parse().expect("a valid name"), &[7; 32]));
    let encrypted = LayerProfile::transform("encrypt", "hunter2").restores().hides_previews();
    LayerSet::new()
        .with(LayerProfile::transparent("limits").limits_content().refuses(large_add(30_000)), || {
            LimitsLayer::new().content_bytes(20_000)
        })
        // A quota that cancelled calls exhaust, unless the layer returns their tokens.
        .with(LayerProfile::transparent("quota").refuses(large_add(10_001)), || {
            QuotaLayer::new(Quota::new().operations(1, 290).bytes(1, 10_000))
        })
        .with(LayerProfile::transparent("disk-guard"), move || {
            DiskGuardLayer::new(|| Ok(1 << 30), 1 << 20, 2 << 20).every(micros(1))
        })
        .with(LayerProfile::transparent("bulk-gate"), move || {
            BulkGateLayer::new().quiet(micros(1)).batch_items(2)
        })
        .with(scope_profile(), move || scope.clone())
        .called_through(move |db| db.with_credential(capability.clone()))
        .with(LayerProfile::transparent("require-key").refuses(refused("keyless")), || {
            RequireKeyLayer::when(
                |args| matches!(args, PersistArgs::Add(add) if add.thread.as_str() == "keyless"),
            )
        })
        .with(LayerProfile::transparent("serialize"), SerializeLayer::new)
        .with(LayerProfile::transparent("audit"), || AuditLayer::new(AuditKey::new(&[7; 32])))
        .with(LayerProfile::transparent("trace"), TraceLayer::new)
        .with(LayerProfile::transparent("metrics"), MetricsLayer::new)
        // Every call is slow and is logged.
        .with(LayerProfile::transparent("slow-log"), || {
            SlowLogLayer::new(Duration::ZERO).at_most(u32::MAX, Duration::ZERO)
        })
        .with(LayerProfile::transform("redact", secret).buffers(), RedactLayer::secrets)
        // With thread keys the layer does everything that it does with the key ring alone, and more.
        .with(encrypted.sets_expected_revisions().issues_reads(), move || {
            EncryptLayer::new(key_ring()).with_thread_keys(MemoryThreadKeys::new())
        })
        .with(LayerProfile::transparent("retry").repeats(), retry)
        .with(LayerProfile::transparent("timeout"), || TimeoutLayer::new(Duration::from_secs(3600)))
        .with(LayerProfile::transparent("chaos").refuses(refused("refused")), || {
            let refuses = Rule::new("refused", Fault::before(ErrorKind::Denied)).in_threads("refused");
            ChaosLayer::seeded(1).rule(refuses)
        })
}

fn scope_profile() -> LayerProfile {
    let profile = LayerProfile::transparent("scope").refuses(reads_cursor());
    profile.expect_fail(
        "laws.pipeline_closes_after_all_calls_end",
        "a holder of a capability cannot close the pipeline",
    )
}

/// A call that the capability of the laws does not allow.
fn reads_cursor() -> GetCursor {
    GetCursor { consumer: "refused".parse().expect("a valid id") }
}

/// The ways to add a plugin.
fn plugins() -> Vec<Box<dyn LayerFixture>> {
    let delete = Delete::new("t".parse().expect("a valid id"), "refused".parse().expect("a valid id"));
    vec![
        layer!(LayerProfile::transparent("from-fn"), from_fn("from-fn", Phase::Observe, passes)),
        layer!(LayerProfile::transparent("observe"), observe("observe", |_: &Event| {})),
        Box::new((LayerProfile::transparent("plugin"), |around: &Around| {
            let stack = around.outside().plugin(Passes("plugin")).layer(around.inside());
            stack.backend(around.backend()).build()
        })),
        Box::new((LayerProfile::transparent("respond").refuses(delete), |around: &Around| {
            let refuses = respond("respond", |args, _| match args {
                PersistArgs::Delete(delete) if delete.id.as_str() == "refused" => {
                    Some(Err(PersistError::new(ErrorKind::Denied, "not that one")))
                }
                _ => None,
            });
            around.outside().plugin(refuses).layer(around.inside()).backend(around.backend()).build()
        })),
    ]
}

/// Adds metadata to new messages, also in batches.
async fn adds(mut request: PersistRequest, next: NextRequest) -> Result<throughline::PersistResponse> {
    let items = match &mut request.args {
        PersistArgs::Batch(batch) => batch.items.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for item in items {
        if let PersistArgs::Add(add) = item {
            add.metadata.set("host", "a").expect("a text serializes");
        }
    }
    next.run(request).await
}

/// A layer that adds facts to calls, alone and outside of a layer that repeats calls.
fn additions() -> Vec<Box<dyn LayerFixture>> {
    let profile = LayerProfile::transparent("adds").adds(|forwarded, asked| {
        if let (PersistArgs::Add(forwarded), PersistArgs::Add(asked)) = (forwarded, asked) {
            forwarded.metadata = asked.metadata.clone();
        }
    });
    let set = LayerSet::new()
        .with(profile, || from_fn("adds", Phase::Transform, adds))
        .with(LayerProfile::transparent("retry").repeats(), retry);
    let mut every_way = set.every_way();
    // The second fixture alone is one of the built-in layers.
    every_way.remove(1);
    every_way
}

fn retry() -> RetryLayer {
    RetryLayer::new().backoff(Duration::from_micros(1), Duration::from_micros(2)).budget(1000, 1000)
}

/// Lists that a program builds at run time.
fn lists() -> Vec<Box<dyn LayerFixture>> {
    vec![
        Box::new((LayerProfile::transparent("layer-list"), |around: &Around| {
            let list = LayerList::new()
                .with(from_fn("before", Phase::Guard, passes))
                .with(from_fn("layer-list", Phase::Observe, passes))
                .with(TimeoutLayer::new(Duration::from_secs(3600)));
            around.outside().layers(list).layer(around.inside()).backend(around.backend()).build()
        })),
        Box::new((LayerProfile::transparent("plugin-list"), |around: &Around| {
            let names = ["before", "plugin-list", "after"];
            let add = |list: LayerList, name| list.with(PluginLayer::new(Passes(name)));
            let list = names.into_iter().fold(LayerList::new(), add);
            around.outside().layers(list).layer(around.inside()).backend(around.backend()).build()
        })),
        Box::new((LayerProfile::transparent("plugin-chain"), |around: &Around| {
            let stack = around
                .outside()
                .plugin(Passes("before"))
                .plugin(Passes("plugin-chain"))
                .plugin(Passes("after"));
            stack.layer(around.inside()).backend(around.backend()).build()
        })),
    ]
}

/// Redirects that match no call: they forward every call unchanged.
fn redirects() -> Vec<Box<dyn LayerFixture>> {
    let elsewhere =
        || throughline::Persistence::builder().backend(MemoryBackend::new().with_name("elsewhere")).build();
    vec![
        Box::new((LayerProfile::transparent("redirect").redirects(), move |around: &Around| {
            let layer = redirect("redirect", |_, _| false, elsewhere()?);
            around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
        })),
        Box::new((
            // The layer reads the marker of a message before it changes the message. It cannot take the last message of two stores.
            LayerProfile::transparent("redirect-messages").redirects().issues_reads().refuses(take_last()),
            move |around: &Around| {
                let layer = redirect_messages("redirect-messages", |_| false, elsewhere()?);
                around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
            },
        )),
    ]
}

/// The call of the laws that takes the last message.
fn take_last() -> PersistArgs {
    let mut calls = laws::every_operation("x").into_iter();
    calls.find(|(name, _)| *name == "take last").expect("one of every operation").1
}

/// Stores an alias in place of a name, and restores the name.
struct Alias;

impl Transform for Alias {
    type Stream = HeldTail;

    fn name(&self) -> &str {
        "alias"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        let certain = part.certain_before(part.start(), [ALIAS.0]);
        Rewrite { edits: renamed(part.text(), part.start(), ALIAS.0, ALIAS.1), certain }
    }

    fn up(&self, text: &str) -> Edits {
        renamed(text, 0, ALIAS.1, ALIAS.0)
    }
}

const ALIAS: (&str, &str) = ("Ada Lovelace", "pseudonym1");

fn renamed(text: &str, start: usize, from: &str, to: &'static str) -> Edits {
    let mut edits = Edits::none();
    text[start..]
        .match_indices(from)
        .for_each(|(at, from)| edits.replace(start + at..start + at + from.len(), to));
    edits
}

/// Transforms that restore text, alone and with one that also buffers text.
fn transforms() -> Vec<Box<dyn LayerFixture>> {
    let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3));
    let mut every_way = LayerSet::new()
        .with(LayerProfile::transform("redact", secret).buffers(), RedactLayer::secrets)
        .with(LayerProfile::transform("alias", ALIAS.0).restores().buffers(), || TransformLayer::new(Alias))
        .every_way();
    // The first fixture alone is one of the built-in layers.
    every_way.remove(0);
    every_way
}

fn main() -> ExitCode {
    laws::main(
        [built_in().every_way(), plugins(), additions(), lists(), redirects(), transforms()]
            .into_iter()
            .flatten()
            .collect(),
    )
}
