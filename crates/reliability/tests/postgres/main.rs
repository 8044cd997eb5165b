//! REL-24 to REL-28: what the Postgres store survives that its servers and the network do.
#![cfg(unix)]

mod crash;
mod failover;
mod partition;
mod replaced;
mod scene;
mod standby;
