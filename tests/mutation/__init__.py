"""Proof that the gradient checks can fail: every small change of the backward code must be caught by one of them."""
