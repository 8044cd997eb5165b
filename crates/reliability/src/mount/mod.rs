//! File systems of their own for a test: small ones, and ones that lose their power.
