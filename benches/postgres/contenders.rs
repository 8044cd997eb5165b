use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use crate::{
    Failure, arguments,
    figures::{figure, median, ratio},
    pool::Pool,
    store,
    tasks::{Tasks, Turn, micros},
};

/// How long each contender writes in its turn.
const SPAN: Duration = Duration::from_millis(300);

/// As many as the driver takes by itself, and as many as there are tasks in the figure that counts.
const CONNECTIONS: [u32; 2] = [10, 64];

/// Everyone who writes, each into a database of its own.
pub(crate) struct Contenders {
    pools: Vec<Pool>,
    stacks: Vec<Tasks>,
}

/// What was measured beside one number of tasks, in each round.
struct Rounds {
    turns: Vec<Turn>,
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

    /// Lets everyone write by turns, and prints what came of it.
    pub(crate) async fn compare(self, rounds: usize) -> Result<(), Failure> {
        let rounds_of = |_: &Tasks| Rounds { turns: Vec::new(), pools: vec![Vec::new(); self.pools.len()] };
        let mut measured: Vec<_> = self.stacks.iter().map(rounds_of).collect();
        for _ in 0..rounds {
            for (stack, measured) in self.stacks.iter().zip(&mut measured) {
                measured.turns.push(stack.run(SPAN).await?);
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
        let rates: Vec<_> = self.turns.iter().map(|turn| turn.rate).collect();
        figure(format_args!("postgres_write.throughline.{tasks}"), median(&rates), "writes/s");
        // The faster of them over the whole run.
        let fastest = self.pools.iter().max_by(|one, other| median(one).total_cmp(&median(other)));
        if let Some(pool) = fastest {
            figure(format_args!("postgres_write.sqlx_pool.{tasks}"), median(pool), "writes/s");
            figure(format_args!("postgres_write.vs_sqlx_pool.{tasks}"), ratio(&rates, pool), "x");
        }
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let took: Vec<_> = self.turns.iter().map(|turn| micros(&turn.took, part)).collect();
            figure(format_args!("postgres_write.{name}.{tasks}"), median(&took), "us");
        }
    }
}
