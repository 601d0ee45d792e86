"""What ``python -m langxfer`` and ``accelerate launch -m langxfer`` run."""

from langxfer.cli import main

if __name__ == "__main__":
    main()
