"""`python -m dermforge`."""

from dermforge.cli import main

if __name__ == "__main__":
    main()
