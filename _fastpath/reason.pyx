"""Verdicts and reasons; see reason.pxd."""
