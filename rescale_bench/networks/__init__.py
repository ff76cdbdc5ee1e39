"""Blocks of networks that several plugins share, and wrappers for plugin authors."""
