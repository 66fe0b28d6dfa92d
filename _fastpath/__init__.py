"""Compiled kernels.  They know packets and flat arrays, and nothing of `dataplane`."""
