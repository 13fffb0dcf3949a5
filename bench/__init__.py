"""Mini-Celery measured beside other task queues: `python3 dev.py bench`."""
