//! Layers are visited in the order that is printed.

use std::sync::{Arc, Mutex};

use throughline_core::{
    Call, ErrorKind, Next, Operation, PersistError, PersistRequest, Persistence, Phase, Plugin, PluginLayer,
    Reply, Result,
    pipeline::LayerList,
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{everything, refused, said},
    tap::Counts,
};

checks! {
    Core "layers.every_order_visits_each_layer_once" ("VL-S6") [Add Read] "three layers in each of their six orders are visited once, from outer to inner and back" => permutations;
    Core "layers.runtime_list_is_visited_in_order" ("VL-S6") [Add Read] "a list of layers or plugins that is built at run time is visited in its order" => lists;
    Core "layers.forbidden_order_is_refused_at_build" ("VL-S6") [Add] "the builder refuses an order that the phases forbid, and names both layers" => forbidden,
        core alone: "it is refused while the stack is built, before the store is asked anything";
    Core "layers.short_circuit_skips_inner_layers" ("VL-S6") [Add Read] "a layer that answers by itself leaves the inner layers and the store unvisited" => short_circuit,
        core alone: "whether the store is asked is not in its own hands";
    Core "layers.description_matches_the_visited_order" ("VL-S24") [Add Read] "the description shows phases, names and capabilities in the order of the visits" => described;
}

/// The names of the visited layers, inbound and outbound.
#[derive(Clone, Default)]
struct Visits(Arc<Mutex<Vec<String>>>);

impl Visits {
    fn record(&self, case: String) {
        self.0.lock().expect("the visits").push(case);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("the visits"))
    }

    fn layer(&self, name: &'static str, phase: Phase) -> FromFn<impl AsyncRequestFn + use<>> {
        let visits = self.clone();
        from_fn(name, phase, move |request: PersistRequest, next: NextRequest| {
            let visits = visits.clone();
            async move {
                visits.record(format!("{name}>"));
                let answer = next.run(request).await;
                visits.record(format!("<{name}"));
                answer
            }
        })
    }

    fn plugin(&self, name: &'static str) -> Visiting {
        Visiting { name, visits: self.clone() }
    }
}

struct Visiting {
    name: &'static str,
    visits: Visits,
}

impl Plugin for Visiting {
    fn name(&self) -> &str {
        self.name
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        self.visits.record(format!("{}>", self.name));
        let answer = next.run(call).await;
        self.visits.record(format!("<{}", self.name));
        answer
    }
}

const ONE: &str = "recorder-one";
const TWO: &str = "recorder-two";
const THREE: &str = "recorder-three";

const ORDERS: [[&str; 3]; 6] = [
    [ONE, TWO, THREE],
    [ONE, THREE, TWO],
    [TWO, ONE, THREE],
    [TWO, THREE, ONE],
    [THREE, ONE, TWO],
    [THREE, TWO, ONE],
];

/// Writes and reads once each, and compares the visits with what is described.
async fn visited(db: &Persistence, visits: &Visits, order: [&str; 3]) {
    let described: Vec<_> = db.describe().names().take(3).collect();
    assert_eq!(described, order);
    let down = order.iter().map(|name| format!("{name}>"));
    let expected: Vec<_> = down.chain(order.iter().rev().map(|name| format!("<{name}"))).collect();
    db.thread(order.concat()).add(said("m", "x")).await.unwrap();
    assert_eq!(visits.take(), expected);
    assert_eq!(everything(&db.thread(order.concat())).await.len(), 1);
    assert_eq!(visits.take(), expected, "a read goes the same way");
}

async fn permutations(rig: Rig) {
    for (number, order) in ORDERS.into_iter().enumerate() {
        let rig = rig.sibling(&number.to_string());
        let visits = Visits::default();
        let [one, two, three] = order.map(|name| visits.layer(name, Phase::Observe));
        let stack = rig.builder().layer(one).layer(two).layer(three);
        let db = stack.backend(rig.open().await).build().unwrap();
        visited(&db, &visits, order).await;
        let [one, two, three] = order.map(|name| visits.plugin(name));
        let rig = rig.sibling("plugins");
        let stack = rig.builder().plugin(one).plugin(two).plugin(three);
        let db = stack.backend(rig.open().await).build().unwrap();
        visited(&db, &visits, order).await;
    }
}

async fn lists(rig: Rig) {
    for (number, order) in ORDERS.into_iter().enumerate() {
        let rig = rig.sibling(&number.to_string());
        let visits = Visits::default();
        let add = |list: LayerList, name| list.with(visits.layer(name, Phase::Guard));
        let list = order.into_iter().fold(LayerList::new(), add);
        let db = rig.builder().layers(list).backend(rig.open().await).build().unwrap();
        visited(&db, &visits, order).await;
        let add = |list: LayerList, name| list.with(PluginLayer::new(visits.plugin(name)));
        let list = order.into_iter().fold(LayerList::new(), add);
        let rig = rig.sibling("plugins");
        let db = rig.builder().layers(list).backend(rig.open().await).build().unwrap();
        visited(&db, &visits, order).await;
    }
    // A list sorts itself by phase, whatever the order it was filled in.
    let visits = Visits::default();
    let phases = [
        ("route-recorder", Phase::Route),
        ("admit-recorder", Phase::Admit),
        ("transform-recorder", Phase::Transform),
    ];
    let add = |list: LayerList, (name, phase)| list.with(visits.layer(name, phase));
    let list = phases.into_iter().fold(LayerList::new(), add);
    let rig = rig.sibling("sorted");
    let db = rig.builder().layers(list).backend(rig.open().await).build().unwrap();
    visited(&db, &visits, ["admit-recorder", "transform-recorder", "route-recorder"]).await;
}

async fn forbidden(rig: Rig) {
    let visits = Visits::default();
    let stack = rig
        .builder()
        .layer(visits.layer("route-recorder", Phase::Route))
        .layer(visits.layer("guard-recorder", Phase::Guard));
    let error = refused(stack.backend(rig.open().await).build(), ErrorKind::Invalid);
    assert!(
        error.detail().contains("`route-recorder`") && error.detail().contains("`guard-recorder`"),
        "{error}"
    );
    let stack = rig
        .builder()
        .layer(visits.layer("twin-recorder", Phase::Guard))
        .layer(visits.layer("twin-recorder", Phase::Guard));
    let error = refused(stack.backend(rig.sibling("twice").open().await).build(), ErrorKind::Invalid);
    assert!(error.detail().contains("`twin-recorder`"), "{error}");
    let right = rig.sibling("right");
    let stack = right
        .builder()
        .layer(visits.layer("guard-recorder", Phase::Guard))
        .layer(visits.layer("route-recorder", Phase::Route));
    stack.backend(right.open().await).build().expect("the other way round");
}

async fn short_circuit(rig: Rig) {
    let visits = Visits::default();
    let counts = Counts::new();
    let refuses =
        from_fn("refuses", Phase::Observe, |request: PersistRequest, next: NextRequest| async move {
            if request.context.thread().is_some_and(|thread| thread.as_str() == "refused") {
                return Err(PersistError::new(ErrorKind::Denied, "not here"));
            }
            next.run(request).await
        });
    let stack = rig.builder().layer(visits.layer("outside-recorder", Phase::Observe)).layer(refuses);
    let stack = stack.layer(visits.layer("inside-recorder", Phase::Observe));
    let db = stack.backend(rig.tapped(&counts).await).build().unwrap();
    let error = refused(db.thread("refused").add(said("m", "x")).await, ErrorKind::Denied);
    assert_eq!(error.site().map(throughline_core::Site::name), Some("refuses"));
    assert_eq!(
        (visits.take(), counts.asked()),
        (vec!["outside-recorder>".to_owned(), "<outside-recorder".to_owned()], 0)
    );
    db.thread("let through").add(said("m", "x")).await.unwrap();
    assert_eq!((visits.take().len(), counts.asked()), (4, 1));
}

async fn described(rig: Rig) {
    let visits = Visits::default();
    let backend = rig.open().await;
    let name = throughline_core::Backend::name(&backend).to_owned();
    let stack = rig
        .builder()
        .layer(visits.layer("admit-recorder", Phase::Admit))
        .layer(visits.layer("guard-recorder", Phase::Guard));
    let db = stack.layer(visits.layer("route-recorder", Phase::Route)).backend(backend).build().unwrap();
    visited(&db, &visits, ["admit-recorder", "guard-recorder", "route-recorder"]).await;
    let printed: Vec<String> = db.describe().to_string().lines().map(str::to_owned).collect();
    let words: Vec<Vec<&str>> = printed.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words[..3],
        [["admit-recorder", "Admit"], ["guard-recorder", "Guard"], ["route-recorder", "Route"]]
    );
    assert_eq!(printed.len(), 4);
    let claims = db.describe().capabilities().to_string();
    assert!(printed[3].starts_with(&name) && printed[3].ends_with(&claims), "{}", printed[3]);
}
