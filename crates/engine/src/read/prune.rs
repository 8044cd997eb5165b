use throughline_core::{
    MessageState, Seq,
    threads::{Generation, Keep, PlanPrune, PrunePlan},
};

use crate::rows::{MessageRow, ThreadRow};

/// Returns the plan of a prune. `rows` are the messages above the floor, in order.
pub fn plan_prune<'m>(
    plan: &PlanPrune,
    thread: Option<&ThreadRow>,
    rows: impl DoubleEndedIterator<Item = &'m MessageRow> + Clone,
) -> PrunePlan {
    let living = thread.filter(|thread| !thread.deleted);
    let mut answer = PrunePlan {
        thread: plan.thread.clone(),
        generation: living.map_or(Generation::FIRST, |thread| thread.generation),
        through: None,
        messages: 0,
        bytes: 0,
    };
    let Some(beyond) = beyond(&plan.keep, rows.clone()) else { return answer };
    for row in rows.take_while(|row| row.seq <= Some(beyond) && !row.state.is_open()) {
        answer.through = row.seq;
        answer.messages += 1;
        answer.bytes += row.length.bytes;
    }
    answer
}

/// The last sequence number beyond a limit.
fn beyond<'m>(keep: &Keep, rows: impl DoubleEndedIterator<Item = &'m MessageRow> + Clone) -> Option<Seq> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let too_many = rows.clone().rev().find(|row| {
        if row.state == MessageState::Final {
            count += 1;
        }
        bytes += row.length.bytes;
        keep.messages.is_some_and(|most| count > most) || keep.bytes.is_some_and(|most| bytes > most)
    });
    let too_old = keep.since.and_then(|since| rows.take_while(|row| row.created_at < since).last());
    too_many.and_then(|row| row.seq).max(too_old.and_then(|row| row.seq))
}
