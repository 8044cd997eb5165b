//! Compares a store of a hundred thousand messages with one of many more: the size of its file, the memory of the process, and
//! the time of a page, an addition, a list, a search and the opening. One run measures both stores alternately, with their files in memory
//! where they fit.
//!
//! Prints one line per figure: `figure NAME VALUE UNIT`. A ratio is the median of the ratios of all rounds. Run it with
//! `cargo bench -p throughline-benches --bench scale [-- [--rounds N] [--messages N] [--search false] [--folder PATH]]`. Linux only.
//! With `--search false` the stores have no full-text index, and are filled several times as fast. Ten million messages need 24 GB
//! of disk, and 14 GB without the index. With `--folder PATH` the filled stores stay in that folder, and the next run with it measures
//! them again instead of an hour of filling. The file and the list then contain the additions of the runs before.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../kit/arguments.rs"]
mod arguments;
#[path = "../kit/figures.rs"]
mod figures;
mod memory;
mod probes;
mod store;
mod words;

use std::{collections::BTreeMap, error::Error, time::Instant};

use figures::figure;
use store::Filled;

type Failure = Box<dyn Error + Send + Sync>;

/// The number of messages of the store that the large one is compared with.
const FEW: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    arguments::expect(&["rounds", "messages", "search", "folder"])?;
    let rounds: usize = arguments::given("rounds")?.unwrap_or(20);
    let messages = arguments::given("messages")?.unwrap_or(1_000_000);
    let search = arguments::given("search")?.unwrap_or(true);
    let temporary = tempfile::tempdir()?;
    let folder = arguments::given("folder")?.unwrap_or_else(|| temporary.path().to_owned());
    let mut stores = Vec::new();
    for messages in [FEW, messages] {
        let store = match Filled::earlier(&folder, messages, search)? {
            Some(store) => store,
            None => {
                let begun = Instant::now();
                let store = Filled::create(&folder, messages, search).await?;
                let seconds = begun.elapsed().as_secs_f64();
                figure(format_args!("scale.fill.{messages}"), messages as f64 / seconds, "messages/s");
                store
            }
        };
        let stored = store.bytes()? as f64;
        figure(format_args!("scale.file.{messages}"), stored / 1e6, "MB");
        figure(format_args!("scale.file_over_content.{messages}"), stored / store.content_bytes as f64, "x");
        let unindexed = stored - store.index_bytes()? as f64;
        figure(
            format_args!("scale.file_without_index_over_content.{messages}"),
            unindexed / store.content_bytes as f64,
            "x",
        );
        figure(format_args!("scale.memory_peak.{messages}"), memory::peak()? as f64 / 1048576.0, "MiB");
        // For the memory alone.
        probes::reads(&store, &mut BTreeMap::new()).await?;
        figure(format_args!("scale.memory_peak_reads.{messages}"), memory::peak()? as f64 / 1048576.0, "MiB");
        stores.push(store);
    }
    let [few, many] = &stores[..] else { return Err("there are two stores".into()) };
    many.load()?;
    few.load()?;
    probes::compare([few, many], rounds).await
}
