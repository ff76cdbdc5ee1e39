"""The named measuring protocols: who rounds, crops and converts what."""
