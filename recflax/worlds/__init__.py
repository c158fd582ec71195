"""Simulated worlds whose interventional truth is known exactly."""
