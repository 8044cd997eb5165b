//! Measures the overhead of the pipeline: one typed call to a backend that does nothing, under stacks of different shapes.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. Each time is the minimum of many rounds. A round is shorter
//! than a time slice of the scheduler, to exclude other load of the machine. Each round measures every shape. Run it
//! with `cargo bench -p throughline-benches --bench pipeline [-- [--rounds N] [--only NAME]]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
mod noop;

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use noop::{Noop, NoopBackend, NoopPlugin};
use throughline::{
    NewMessage, Persistence, Phase, PluginLayer, Result,
    layers::{limits::LimitsLayer, retry::RetryLayer, timeout::TimeoutLayer, trace::TraceLayer},
    messages::Add,
    pipeline::LayerList,
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceBuilder;

type Failure = Box<dyn Error + Send + Sync>;

const CALLS: u32 = 1000;
const ROUNDS: u32 = 600;
const NAMES: [&str; 8] = ["l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8"];

/// A stack, with its name and its best time.
struct Shape {
    name: &'static str,
    db: Persistence,
    best: Duration,
}

fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "only"])?;
    let rounds = arguments::given("rounds")?.unwrap_or(ROUNDS);
    let only: Option<String> = arguments::given("only")?;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut shapes = runtime.block_on(async { shapes() })?;
    if let Some(only) = &only
        && !shapes.iter().any(|shape| shape.name == only)
    {
        let names: Vec<_> = shapes.iter().map(|shape| shape.name).collect();
        return Err(format!("unknown value `{only}` of --only; the values are {}", names.join(", ")).into());
    }
    shapes.retain(|shape| only.as_deref().is_none_or(|only| only == shape.name));
    let add = Add::new("bench".parse()?, NewMessage::user("hello").with_id("m".parse()?));
    for _ in 0..rounds {
        for shape in &mut shapes {
            let took = time_calls(&runtime, &shape.db, &add);
            shape.best = shape.best.min(took);
        }
    }
    for shape in &shapes {
        let nanos = shape.best.as_nanos() as f64 / f64::from(CALLS);
        println!("figure pipeline.{} {nanos:.0} ns", shape.name);
        println!("figure pipeline.{}.allocs {} per_call", shape.name, allocations(&runtime, &shape.db, &add));
    }
    let nanos = |name: &str| {
        let shape = shapes.iter().find(|shape| shape.name == name)?;
        Some(shape.best.as_nanos() as f64 / f64::from(CALLS))
    };
    if let (Some(noop8), Some(noop0)) = (nanos("noop8"), nanos("noop0")) {
        println!("figure pipeline.noop8.added {:.0} ns", noop8 - noop0);
    }
    Ok(())
}

fn shapes() -> Result<Vec<Shape>> {
    let shape = |name, db| Shape { name, db, best: Duration::MAX };
    // Eight static layers as one foreign layer: a plain tower stack without guards in between.
    let eight = ServiceBuilder::new()
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .layer(Noop)
        .into_inner();
    let guarded = || {
        let [l1, l2, l3, l4, l5, l6, l7, l8] = NAMES;
        Persistence::builder()
            .layer_as(l1, Phase::Route, Noop)
            .layer_as(l2, Phase::Route, Noop)
            .layer_as(l3, Phase::Route, Noop)
            .layer_as(l4, Phase::Route, Noop)
            .layer_as(l5, Phase::Route, Noop)
            .layer_as(l6, Phase::Route, Noop)
            .layer_as(l7, Phase::Route, Noop)
            .layer_as(l8, Phase::Route, Noop)
            .backend(NoopBackend::AT_ONCE)
    };
    // The usual stack of a host.
    let default4 = || {
        Persistence::builder()
            .deadline(Duration::from_secs(60))
            .layer(LimitsLayer::new())
            .layer(TraceLayer::new())
            .layer(RetryLayer::new())
            .layer(TimeoutLayer::new(Duration::from_secs(30)))
    };
    let [p1, p2, p3, p4, p5, p6, p7, p8] = NAMES.map(NoopPlugin);
    // Adjacent plugins share a layer.
    let one_layer = Persistence::builder()
        .plugin(p1)
        .plugin(p2)
        .plugin(p3)
        .plugin(p4)
        .plugin(p5)
        .plugin(p6)
        .plugin(p7)
        .plugin(p8)
        .backend(NoopBackend::AT_ONCE);
    let [p1, p2, p3, p4, p5, p6, p7, p8] = NAMES.map(|name| PluginLayer::new(NoopPlugin(name)));
    let a_layer_each = Persistence::builder()
        .layer(p1)
        .layer(p2)
        .layer(p3)
        .layer(p4)
        .layer(p5)
        .layer(p6)
        .layer(p7)
        .layer(p8)
        .backend(NoopBackend::AT_ONCE);
    let boxed = NAMES.into_iter().fold(LayerList::new(), |list, name| list.with_as(name, Phase::Route, Noop));
    Ok(vec![
        shape("noop0", Persistence::builder().backend(NoopBackend::AT_ONCE).build()?),
        shape(
            "noop8",
            Persistence::builder()
                .layer_as("eight", Phase::Route, eight)
                .backend(NoopBackend::AT_ONCE)
                .build()?,
        ),
        shape("guarded8", guarded().deadline(Duration::from_secs(60)).build()?),
        shape("guarded8_no_deadline", guarded().build()?),
        shape("layers8_list", Persistence::builder().layers(boxed).backend(NoopBackend::AT_ONCE).build()?),
        shape("plugins8_list", one_layer.build()?),
        shape("plugins8", a_layer_each.build()?),
        shape("default4", default4().backend(NoopBackend::AT_ONCE).build()?),
        shape("default4_waits", default4().backend(NoopBackend::WAITS).build()?),
    ])
}

fn time_calls(runtime: &Runtime, db: &Persistence, add: &Add) -> Duration {
    runtime.block_on(async {
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(db.run(black_box(add).clone()).await).expect("a call that does nothing");
        }
        begun.elapsed()
    })
}

/// Counts the allocations of one call. The operation is created before counting, as a caller creates it.
fn allocations(runtime: &Runtime, db: &Persistence, add: &Add) -> u64 {
    runtime.block_on(async {
        db.run(add.clone()).await.expect("a call that does nothing");
    });
    let add = add.clone();
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            black_box(db.run(add).await).expect("a call that does nothing");
        });
    });
    counted.count_total
}
