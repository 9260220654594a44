"""The machine a run has: devices, memory, threads, processes, signals."""
