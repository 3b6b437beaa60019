"""Relation interfaces as codecs."""
