//! The entries of messages in the index of metadata.

use throughline_engine::StagedRows;

use super::{Writing, message::columns, number};
use crate::metadata_index::MetadataNames;

/// Removes the entries of fields that a message does not have any more. No row of it is one that [`INSERT`] writes.
const DELETE: &str = "DELETE FROM throughline.metadata_values v \
    USING unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    WHERE v.tenant = k.tenant AND v.thread = k.thread AND v.id = k.id AND NOT EXISTS \
    (SELECT 1 FROM unnest($4::text[], $5::text[], $6::text[], $7::integer[]) AS w (tenant, thread, id, n) \
     WHERE w.tenant = v.tenant AND w.thread = v.thread AND w.id = v.id AND w.n = v.n)";

const INSERT: &str = "INSERT INTO throughline.metadata_values (tenant, thread, id, n, value, created_at, seq) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::bigint[], $7::bigint[]) \
    ON CONFLICT (tenant, thread, id, n) DO UPDATE \
    SET value = excluded.value, created_at = excluded.created_at, seq = excluded.seq";

/// Writes the entries of new messages, and replaces those of changed and removed ones.
pub(super) fn write(staged: &StagedRows, names: &MetadataNames, writing: &mut Writing) {
    let (mut keys, mut numbers, mut values, mut times, mut seqs) = (vec![], vec![], vec![], vec![], vec![]);
    for (key, entries) in staged.indexed.changed() {
        for (name, value) in &entries.fields {
            let Some(n) = names.number(name) else { continue };
            keys.push(key);
            numbers.push(n);
            values.push(value.as_str());
            times.push(entries.created_at.as_micros());
            seqs.push(number(entries.seq.get()));
        }
    }
    let [stored_tenants, stored_threads, stored_ids] = columns(staged.indexed.updated().map(|(key, _)| key));
    let [tenants, threads, ids] = columns(keys.iter().copied());
    if !stored_ids.is_empty() {
        writing
            .part(DELETE)
            .bind(stored_tenants)
            .bind(stored_threads)
            .bind(stored_ids)
            .bind(tenants.clone())
            .bind(threads.clone())
            .bind(ids.clone())
            .bind(numbers.clone());
    }
    if !ids.is_empty() {
        writing
            .part(INSERT)
            .bind(tenants)
            .bind(threads)
            .bind(ids)
            .bind(numbers)
            .bind(values)
            .bind(times)
            .bind(seqs);
    }
}
