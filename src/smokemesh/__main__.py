"""`python -m smokemesh`: the same as the command `smokemesh`."""

from smokemesh.cli.main import main

if __name__ == "__main__":
    main()
