"""A worker: ``python worker.py --threads 5``. The same as ``minicelery worker``."""

from minicelery.cli import worker

if __name__ == "__main__":
    worker()
