//! Finds the aliases of images that the store lacks.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};
use throughline_core::{
    ids::{EventId, ItemId, TurnId},
    replication::{Image, ImagePart, NameImage},
};

use crate::rows::number;

const FIND: &str = "SELECT k.i FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], \
    $7::text[], $8::text[], $9::text[]) WITH ORDINALITY \
    AS k (tenant, thread, generation, seen, role, turn, item, event, message, i) \
    WHERE EXISTS (SELECT 1 FROM throughline.aliases a WHERE a.tenant = k.tenant AND a.thread = k.thread \
    AND a.generation = k.generation AND a.message = k.message AND a.seen = k.seen AND a.role = k.role \
    AND a.turn IS NOT DISTINCT FROM k.turn AND a.item IS NOT DISTINCT FROM k.item \
    AND a.event IS NOT DISTINCT FROM k.event)";

/// Returns the images whose aliases the store lacks. An image may come twice, with the snapshot and with the dirty
/// set.
pub(super) async fn missing(db: &mut PgConnection, images: &[Image]) -> sqlx::Result<HashSet<usize>> {
    let mut seen = HashSet::new();
    let names: Vec<(usize, &Image, &NameImage)> = images
        .iter()
        .enumerate()
        .filter_map(|(at, image)| match &image.part {
            ImagePart::Name(name) => Some((at, image, &**name)),
            _ => None,
        })
        .filter(|(_, image, name)| {
            let json = serde_json::to_string(name).expect("names serialize into memory");
            seen.insert((image.tenant.clone(), json))
        })
        .collect();
    let mut missing: HashSet<usize> = names.iter().map(|(at, ..)| *at).collect();
    if names.is_empty() {
        return Ok(missing);
    }
    let (mut roles, mut turns, mut items, mut events) = (vec![], vec![], vec![], vec![]);
    for (_, _, name) in &names {
        let alias = &name.known.alias;
        roles.push(alias.role.as_str());
        turns.push(alias.origin.turn.as_ref().map(TurnId::as_str));
        items.push(alias.origin.item.as_ref().map(ItemId::as_str));
        events.push(alias.origin.event.as_ref().map(EventId::as_str));
    }
    let rows = sqlx::query(FIND)
        .bind(names.iter().map(|(_, image, _)| image.tenant.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|(.., name)| name.thread.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|(.., name)| number(name.generation.get())).collect::<Vec<_>>())
        .bind(names.iter().map(|(.., name)| number(name.known.seen.get())).collect::<Vec<_>>())
        .bind(roles)
        .bind(turns)
        .bind(items)
        .bind(events)
        .bind(names.iter().map(|(.., name)| name.known.alias.message.as_str()).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    for row in &rows {
        let there = usize::try_from(row.try_get::<i64, _>("i")? - 1).ok().and_then(|at| names.get(at));
        if let Some((at, ..)) = there {
            missing.remove(at);
        }
    }
    Ok(missing)
}
