"""Tests of xex."""
