"""The device, memory, threads and libraries that a process computes with."""
