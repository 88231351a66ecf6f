"""Faults under load: processes and servers die, and everything is compared with the truth."""
