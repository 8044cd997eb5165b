//! Encryption: what a caller gets is what it would get without, and what the store gets says nothing.

mod attack;
mod canary;
mod key_store;
mod limits;
mod planted;
mod restores;
mod rotation;
mod same_reads;
mod shred;
mod support;
