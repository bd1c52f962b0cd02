"""``python -m schwabstream`` is the ``schwabstream`` command."""

from schwabstream.cli import main

if __name__ == "__main__":
    main()
