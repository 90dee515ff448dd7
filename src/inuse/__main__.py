"""``python -m inuse``."""

from inuse.cli import main

if __name__ == "__main__":
    main()
