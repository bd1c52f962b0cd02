"""A login that lasts: OAuth, the browser callback, the token file, Schwab's REST API.

Read from the top: each module imports only those below it.

* ``client``: a valid access token for every caller, and the REST calls made with it
* ``http`` → ``session`` → ``answers``: one call to Schwab → one HTTP session → one bounded answer
* ``keeper`` → ``store`` → ``encoding`` → ``formats``: the newest login → the token file → its bytes → older layouts
* ``callback``, ``env_back``: the redirect of a browser login; the refresh token in ``.env.back``
* ``files``: a private file, replaced whole
* ``oauth``, ``tokens``: the rules of OAuth and of a token's life, without any I/O
"""
