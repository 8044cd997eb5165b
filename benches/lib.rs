//! The benchmarks are the targets of this package: see `docs/benchmarks.md`.
