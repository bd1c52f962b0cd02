"""``schwabstream doctor``: checks everything that a run needs and names the fix for each failure."""
