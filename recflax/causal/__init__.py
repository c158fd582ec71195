"""Causal estimation from logs: what a policy is worth, what a treatment does, how sure that is.

Everything here takes arrays, or callables that fit and predict, never a network.
"""
