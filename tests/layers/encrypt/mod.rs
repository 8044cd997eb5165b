//! The layer `encrypt`: callers get the same answers as without the layer, and the store gets only ciphertext.

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
mod tails;
