"""``schwabstream stream run``: the composition of one run, its turns with other streamers, its end."""
