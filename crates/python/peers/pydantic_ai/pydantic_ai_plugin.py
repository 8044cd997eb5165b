"""The tests of this peer are those of the adapter, which choose their backends themselves. There is nothing to replace."""
