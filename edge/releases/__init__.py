"""Releases: what of a measured model stays on devices for a service to load, and which version is current there."""
