"""``python -m minicelery`` is the command ``minicelery``."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="minicelery")
