//! The laws for layers, for every layer that comes with the framework and every way to mount one.

use std::{process::ExitCode, time::Duration};

use throughline::{
    Call, Content, Delete, ErrorKind, NewMessage, Next, Operation, PersistArgs, PersistError, PersistRequest,
    Phase, Plugin, Reply, Result, Role,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
    memory::MemoryBackend,
    pipeline::LayerList,
    plugin::{Event, NextRequest, PluginList, from_fn, observe, redirect, redirect_messages, respond},
};
use throughline_conformance::laws::{self, Around, LayerFixture, LayerProfile};

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
        Box::new(($profile, |around: &Around| {
            around.outside().layer($layer).layer(around.inside()).backend(around.backend()).build()
        })) as Box<dyn LayerFixture>
    };
}

/// The layers that come with the framework.
fn built_in() -> Vec<Box<dyn LayerFixture>> {
    let too_large = NewMessage::new(Role::User, Content::text(&"x".repeat(2000)));
    let too_large = throughline::Add::new("t".parse().expect("a valid id"), too_large);
    vec![
        layer!(LayerProfile::transparent("trace"), TraceLayer::new()),
        layer!(
            LayerProfile::transparent("limits").refuses(too_large),
            LimitsLayer::new().content_bytes(1000)
        ),
        layer!(
            LayerProfile::transparent("retry").repeats(),
            RetryLayer::new().backoff(Duration::from_micros(1), Duration::from_micros(2)).budget(1000, 1000)
        ),
        layer!(LayerProfile::transparent("timeout"), TimeoutLayer::new(Duration::from_secs(3600))),
    ]
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
        Box::new((LayerProfile::transparent("redirect"), move |around: &Around| {
            let layer = redirect("redirect", |_, _| false, elsewhere()?);
            around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
        })),
        Box::new((
            // It asks for the marker of a message before it touches one.
            LayerProfile::transparent("redirect-messages").reads_on_the_way(),
            move |around: &Around| {
                let layer = redirect_messages("redirect-messages", |_| false, elsewhere()?);
                around.outside().layer(layer).layer(around.inside()).backend(around.backend()).build()
            },
        )),
    ]
}

fn main() -> ExitCode {
    laws::main([built_in(), plugins(), lists(), redirects()].into_iter().flatten().collect())
}
