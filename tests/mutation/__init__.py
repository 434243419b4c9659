"""Proof that the gradient checks can fail: they must detect every small change of the backward code."""
