"""A login that lasts: OAuth, the browser callback, the token file, Schwab's REST API.

The path of an access token, from the caller down. Each module imports only modules below it, and does one job:

* ``client``: calls the REST API with a valid access token
* ``auto_refresh``: keeps that token fresh in the background
* ``access``: a valid access token, from memory, from the token file or from Schwab
* ``http``: one method for each kind of call to Schwab, with retries
* ``session``: one call; limits the size of its answer and classifies it
* ``store``: the token file, locked and repaired
* ``encoding``: its bytes, encrypted or not
* ``formats``: its layout, ours or that of another tool

Outside this path:

* ``callback``: the redirect of a browser login
* ``env_back``: the refresh token in ``.env.back``
* ``files``: a private file, replaced whole
* ``oauth``: the rules of OAuth, without I/O
* ``tokens``: the rules of a token's life, without I/O
"""
