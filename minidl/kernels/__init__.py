"""The arithmetic behind the ops: readable reference kernels for any backend, and fast ones for some."""
