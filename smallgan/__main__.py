"""`python -m smallgan` is the command `smallgan`."""

from smallgan.cli import main

if __name__ == "__main__":
    main()
