use crate::{
    FEW, MANY,
    figures::{figure, median, ratio},
    io_counters::Cost,
    modes::Appends,
};

/// The costs of each write mode in each round.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) few: Vec<Cost>,
    pub(crate) many: Vec<Cost>,
    pub(crate) one_byte: Vec<Cost>,
    pub(crate) patch: Vec<Cost>,
    pub(crate) settled: Vec<Cost>,
    pub(crate) rewrite: Vec<Cost>,
    pub(crate) raw_rewrite: Vec<Cost>,
    pub(crate) draft: Vec<Cost>,
}

impl Measured {
    pub(crate) fn report(&self) {
        self.bytes();
        self.time();
        self.draft();
    }

    fn bytes(&self) {
        let per_commit = each(&self.one_byte, handed_per_commit);
        figure("streaming.bytes_per_commit", median(&per_commit), "bytes");
        figure("streaming.bytes_per_patch", median(&each(&self.patch, handed_per_commit)), "bytes");
        let dirtied = each(&self.one_byte, |cost| cost.dirtied / cost.commits as f64);
        figure("streaming.dirtied_per_commit", median(&dirtied), "bytes");
        let per_byte = |costs, appends: Appends| each(costs, |cost| cost.handed / appends.total() as f64);
        let (few, many) = (per_byte(&self.few, FEW), per_byte(&self.many, MANY));
        figure("streaming.total_per_byte", median(&few), "x");
        figure("streaming.total_per_byte_settled", median(&per_byte(&self.settled, FEW)), "x");
        figure("streaming.growth", ratio(&many, &few), "x");
        figure("streaming.vs_rewrite_bytes", ratio(&per_byte(&self.rewrite, FEW), &few), "x");
        figure("streaming.vs_rusqlite_rewrite_bytes", ratio(&per_byte(&self.raw_rewrite, FEW), &few), "x");
    }

    fn time(&self) {
        let rates = |costs| each(costs, |cost| cost.commits as f64 / cost.seconds);
        let few = rates(&self.few);
        figure("streaming.appends", median(&few), "appends/s");
        figure("streaming.appends_one_byte", median(&rates(&self.one_byte)), "appends/s");
        figure("streaming.time_growth", ratio(&few, &rates(&self.many)), "x");
        figure("streaming.vs_rewrite", ratio(&few, &rates(&self.rewrite)), "x");
        figure("streaming.vs_rusqlite_rewrite", ratio(&few, &rates(&self.raw_rewrite)), "x");
    }

    fn draft(&self) {
        let commits = each(&self.draft, |cost| cost.commits as f64);
        figure("streaming.draft_commits", median(&commits), "commits");
        let appends = each(&self.draft, |cost| FEW.count as f64 / cost.seconds);
        figure("streaming.draft_appends", median(&appends), "appends/s");
        let total = each(&self.draft, |cost| cost.handed / FEW.total() as f64);
        figure("streaming.draft_total_per_byte", median(&total), "x");
    }
}

fn each(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> Vec<f64> {
    costs.iter().map(of).collect()
}

fn handed_per_commit(cost: &Cost) -> f64 {
    cost.handed / cost.commits as f64
}
