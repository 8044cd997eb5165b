use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use crate::{
    Failure, arguments,
    facts::{Facts, Sent},
    figures::{figure, median, ratio},
    pool::Pool,
    store,
    tasks::{Sample, Tasks, micros},
};

/// How long each contender writes in one round.
const SPAN: Duration = Duration::from_millis(300);

/// The default size of a sqlx pool, and the number of tasks of the main figure.
const CONNECTIONS: [u32; 2] = [10, 64];

/// All contenders, each with its own database.
pub(crate) struct Contenders {
    pools: Vec<Pool>,
    /// Like `pools`, with the other facts that the store keeps of a write, in a transaction and in one statement.
    facts: Vec<Facts>,
    at_once: Vec<Facts>,
    stacks: Vec<Tasks>,
}

/// The results of all rounds for one number of tasks.
struct Rounds {
    samples: Vec<Sample>,
    pools: Vec<Vec<f64>>,
    facts: Vec<Vec<f64>>,
    at_once: Vec<Vec<f64>>,
}

impl Contenders {
    pub(crate) async fn open(cluster: &Cluster, tasks: &[usize]) -> Result<Self, Failure> {
        let mut stacks = Vec::new();
        for count in tasks {
            stacks.push(Tasks::over(store(cluster, &format!("stack{count}")).await?, *count).await?);
        }
        let (mut pools, mut facts, mut at_once) = (Vec::new(), Vec::new(), Vec::new());
        for connections in
            CONNECTIONS.into_iter().take(arguments::given("pools")?.unwrap_or(CONNECTIONS.len()))
        {
            pools.push(Pool::open(cluster, connections).await?);
            facts.push(Facts::open(cluster, connections, Sent::Transaction).await?);
            at_once.push(Facts::open(cluster, connections, Sent::AtOnce).await?);
        }
        Ok(Self { pools, facts, at_once, stacks })
    }

    /// Runs all contenders alternately, and prints the figures.
    pub(crate) async fn compare(self, rounds: usize) -> Result<(), Failure> {
        let none = vec![Vec::new(); self.pools.len()];
        let rounds_of = |_: &Tasks| Rounds {
            samples: Vec::new(),
            pools: none.clone(),
            facts: none.clone(),
            at_once: none.clone(),
        };
        let mut measured: Vec<_> = self.stacks.iter().map(rounds_of).collect();
        for _ in 0..rounds {
            for (stack, measured) in self.stacks.iter().zip(&mut measured) {
                measured.samples.push(stack.run(SPAN).await?);
                for (pool, measured) in self.pools.iter().zip(&mut measured.pools) {
                    measured.push(pool.run(stack.count, SPAN).await?);
                }
                for (facts, measured) in self.facts.iter().zip(&mut measured.facts) {
                    measured.push(facts.run(stack.count, SPAN).await?);
                }
                for (facts, measured) in self.at_once.iter().zip(&mut measured.at_once) {
                    measured.push(facts.run(stack.count, SPAN).await?);
                }
            }
        }
        for (stack, measured) in self.stacks.iter().zip(&measured) {
            measured.report(stack.count);
            stack.close().await?;
        }
        Ok(())
    }
}

impl Rounds {
    fn report(&self, tasks: usize) {
        let rates: Vec<_> = self.samples.iter().map(|sample| sample.rate).collect();
        figure(format_args!("postgres_write.throughline.{tasks}"), median(&rates), "writes/s");
        for (name, pools) in [
            ("sqlx_pool", &self.pools),
            ("sqlx_same_facts", &self.facts),
            ("sqlx_same_facts_at_once", &self.at_once),
        ] {
            // The fastest pool over the whole run.
            let fastest = pools.iter().max_by(|one, other| median(one).total_cmp(&median(other)));
            if let Some(pool) = fastest {
                figure(format_args!("postgres_write.{name}.{tasks}"), median(pool), "writes/s");
                figure(format_args!("postgres_write.vs_{name}.{tasks}"), ratio(&rates, pool), "x");
            }
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let latencies: Vec<_> =
                self.samples.iter().map(|sample| micros(&sample.latencies, quantile)).collect();
            figure(format_args!("postgres_write.{name}.{tasks}"), median(&latencies), "us");
        }
    }
}
