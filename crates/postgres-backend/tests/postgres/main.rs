//! Tests of the Postgres backend alone: opening, connection loss, poolers, standbys, settings and search.

mod at_once;
mod audit;
mod erased;
mod feed;
mod finds;
mod fingerprints;
mod lost;
mod lost_value;
mod minted;
mod open;
mod outcomes;
mod pooler;
mod pooler_statements;
mod read_only;
mod repair;
mod replica;
mod round_trips;
mod search;
mod settings;
mod standby;
mod support;
