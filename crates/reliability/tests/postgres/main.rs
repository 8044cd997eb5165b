//! REL-24 to REL-28: the Postgres store survives failures of its servers and of the network.
#![cfg(unix)]

mod crash;
mod failover;
mod partition;
mod replaced;
mod scene;
mod standby;
