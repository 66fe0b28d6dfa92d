"""python -m dataplane"""

from dataplane.cli import main

if __name__ == "__main__":
    main()
