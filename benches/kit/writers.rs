use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::Failure;

/// Returns writes per second of this number of concurrent tasks. `write` makes one write of the task with a number.
pub(crate) async fn rate<W>(
    tasks: usize,
    span: Duration,
    write: impl Fn(usize) -> W + Clone + Send + 'static,
) -> Result<f64, Failure>
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for task in 0..tasks {
        let write = write.clone();
        writers.spawn(async move {
            let mut written = 0_u64;
            while begun.elapsed() < span {
                write(task).await?;
                written += 1;
            }
            Ok::<_, Failure>(written)
        });
    }
    let mut written = 0;
    while let Some(writer) = writers.join_next().await {
        written += writer??;
    }
    Ok(written as f64 / begun.elapsed().as_secs_f64())
}
