"""Entry point of `python -m app`, which is the same as `crowdmood`."""

from app.cli import main

if __name__ == "__main__":
    main()
