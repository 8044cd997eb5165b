//! The laws for layers, for every layer that comes with the framework and every way to mount one.

use std::{process::ExitCode, time::Duration};

use throughline::{
    Call, Content, ErrorKind, NewMessage, Next, Operation, PersistArgs, PersistError, PersistRequest, Phase,
    Plugin, Reply, Result, Role,
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
    plugin::{Event, NextRequest, PluginList, from_fn, observe, respond},
    redirect::{redirect, redirect_messages},
};
use throughline_conformance::laws::{self, Around, LayerFixture, LayerProfile, LayerSet};

/// A plugin that does nothing of its own.
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

/// A stack of the layer that `$layer` makes.
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

/// The layers that come with the framework, in the order of production.
fn built_in() -> LayerSet {
    let refused = |thread: &str| {
        throughline::messages::Add::new(thread.parse().expect("a valid id"), NewMessage::user("x"))
    };
    let micros = Duration::from_micros;
    let scope = ScopeLayer::new();
    let verbs = Verb::ALL.iter().copied().filter(|verb| *verb != Verb::Consume);
    let capability = scope.authority().everything().only(verbs);
    // In two parts, so that no scanner reports this file as a leak.
    let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3));
    let key_ring = || KeyRing::new(Key::new("k".parse().expect("a valid name"), &[7; 32]));
    let encrypted = LayerProfile::transform("encrypt", "hunter2").restores().hides_previews();
    LayerSet::new()
        .with(LayerProfile::transparent("limits").limits_content().refuses(large_add(30_000)), || {
            LimitsLayer::new().content_bytes(20_000)
        })
        // A burst that only calls whose callers left can use up, if they are not taken back.
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
        // Every call is slow, and is logged.
        .with(LayerProfile::transparent("slow-log"), || {
            SlowLogLayer::new(Duration::ZERO).at_most(u32::MAX, Duration::ZERO)
        })
        .with(LayerProfile::transform("redact", secret).buffers(), RedactLayer::secrets)
        // With thread keys: a superset of its work with the key ring alone.
        .with(encrypted.names_revisions().reads_on_the_way(), move || {
            EncryptLayer::new(key_ring()).with_thread_keys(MemoryThreadKeys::new())
        })
        .with(LayerProfile::transparent("retry").repeats(), move || {
            RetryLayer::new().backoff(micros(1), micros(2)).budget(1000, 1000)
        })
        .with(LayerProfile::transparent("timeout"), || TimeoutLayer::new(Duration::from_secs(3600)))
        .with(LayerProfile::transparent("chaos").refuses(refused("refused")), || {
            let refuses = Rule::new("refused", Fault::before(ErrorKind::Denied)).in_threads("refused");
            ChaosLayer::seeded(1).rule(refuses)
        })
}

fn scope_profile() -> LayerProfile {
    let profile = LayerProfile::transparent("scope").refuses(consumes());
    profile.expect_fail(
        "laws.pipeline_closes_after_all_calls_end",
        "the bearer of a capability cannot close the pipeline",
    )
}

/// The operation that the capability in the laws does not allow.
fn consumes() -> GetCursor {
    GetCursor { consumer: "refused".parse().expect("a valid id") }
}

/// The doors for plugins.
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

/// Lists chosen at run time.
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
            let list =
                PluginList::new().with(Passes("before")).with(Passes("plugin-list")).with(Passes("after"));
            around.outside().plugins(list).layer(around.inside()).backend(around.backend()).build()
        })),
    ]
}

/// Redirects of nothing: they stand in the way of every call and change none.
fn redirects() -> Vec<Box<dyn LayerFixture>> {
    let elsewhere =
        || throughline::Persistence::builder().backend(MemoryBackend::new().with_name("elsewhere")).build();
    vec![
        Box::new((LayerProfile::transparent("redirect").keeps_elsewhere(), move |around: &Around| {
            let layer = redirect("redirect", |_, _| false, elsewhere()?);
            around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
        })),
        Box::new((
            // It asks for the marker of a message before it touches one, and cannot take the last one of two stores.
            LayerProfile::transparent("redirect-messages")
                .keeps_elsewhere()
                .reads_on_the_way()
                .refuses(takes_last()),
            move |around: &Around| {
                let layer = redirect_messages("redirect-messages", |_| false, elsewhere()?);
                around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
            },
        )),
    ]
}

/// The call of the laws that takes a message.
fn takes_last() -> PersistArgs {
    let mut calls = laws::every_operation("x").into_iter();
    calls.find(|(name, _)| *name == "take last").expect("one of every operation").1
}

/// Stores one name under another, and back.
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

/// A transform that also restores text, alone and together with another transform that buffers text.
fn transforms() -> Vec<Box<dyn LayerFixture>> {
    let secret = format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3));
    let mut every_way = LayerSet::new()
        .with(LayerProfile::transform("redact", secret).buffers(), RedactLayer::secrets)
        .with(LayerProfile::transform("alias", ALIAS.0).restores().buffers(), || TransformLayer::new(Alias))
        .every_way();
    // The first alone is one of those that come with the framework.
    every_way.remove(0);
    every_way
}

fn main() -> ExitCode {
    laws::main(
        [built_in().every_way(), plugins(), lists(), redirects(), transforms()]
            .into_iter()
            .flatten()
            .collect(),
    )
}
