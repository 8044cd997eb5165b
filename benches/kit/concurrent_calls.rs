use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::Failure;

/// Returns calls per second of this number of concurrent tasks. `call` makes one call of the task with a number.
pub(crate) async fn per_second<C>(
    tasks: usize,
    span: Duration,
    call: impl Fn(usize) -> C + Clone + Send + 'static,
) -> Result<f64, Failure>
where
    C: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks_at_work = JoinSet::new();
    for task in 0..tasks {
        let call = call.clone();
        tasks_at_work.spawn(async move {
            let mut made = 0_u64;
            while begun.elapsed() < span {
                call(task).await?;
                made += 1;
            }
            Ok::<_, Failure>(made)
        });
    }
    let mut made = 0;
    while let Some(ended) = tasks_at_work.join_next().await {
        made += ended??;
    }
    Ok(made as f64 / begun.elapsed().as_secs_f64())
}
