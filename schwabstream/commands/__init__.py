"""One module for each command: puts the rooms together and returns what the command line renders."""
