"""`python -m crowdmood` is the same as `crowdmood`."""

from crowdmood.cli import main

if __name__ == "__main__":
    main()
