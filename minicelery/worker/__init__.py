"""The worker: a parent without user code, and a child process whose threads run tasks."""
