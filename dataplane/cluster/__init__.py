"""Kubernetes objects: load, validate, select.  Knows nothing of nodes' tables."""
