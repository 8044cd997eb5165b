use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use crate::{
    Failure, arguments,
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
    stacks: Vec<Tasks>,
}

/// The results of all rounds for one number of tasks.
struct Rounds {
    samples: Vec<Sample>,
    pools: Vec<Vec<f64>>,
}

impl Contenders {
    pub(crate) async fn open(cluster: &Cluster, tasks: &[usize]) -> Result<Self, Failure> {
        let mut stacks = Vec::new();
        for count in tasks {
            stacks.push(Tasks::over(store(cluster, &format!("stack{count}")).await?, *count).await?);
        }
        let mut pools = Vec::new();
        for connections in
            CONNECTIONS.into_iter().take(arguments::given("pools")?.unwrap_or(CONNECTIONS.len()))
        {
            pools.push(Pool::open(cluster, connections).await?);
        }
        Ok(Self { pools, stacks })
    }

    /// Runs all contenders alternately, and prints the figures.
    pub(crate) async fn compare(self, rounds: usize) -> Result<(), Failure> {
        let rounds_of = |_: &Tasks| Rounds { samples: Vec::new(), pools: vec![Vec::new(); self.pools.len()] };
        let mut measured: Vec<_> = self.stacks.iter().map(rounds_of).collect();
        for _ in 0..rounds {
            for (stack, measured) in self.stacks.iter().zip(&mut measured) {
                measured.samples.push(stack.run(SPAN).await?);
                for (pool, measured) in self.pools.iter().zip(&mut measured.pools) {
                    measured.push(pool.run(stack.count, SPAN).await?);
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
        // The fastest pool over the whole run.
        let fastest = self.pools.iter().max_by(|one, other| median(one).total_cmp(&median(other)));
        if let Some(pool) = fastest {
            figure(format_args!("postgres_write.sqlx_pool.{tasks}"), median(pool), "writes/s");
            figure(format_args!("postgres_write.vs_sqlx_pool.{tasks}"), ratio(&rates, pool), "x");
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let latencies: Vec<_> =
                self.samples.iter().map(|sample| micros(&sample.latencies, quantile)).collect();
            figure(format_args!("postgres_write.{name}.{tasks}"), median(&latencies), "us");
        }
    }
}
