"""Replay packets through a Kubernetes cluster's dataplane and explain every decision."""
