"""The newest login: in the token file, or in memory for as long as the file cannot be written.

Schwab has already handed out the token that a full disk does not take, and may have ended the one before it. Does not
call Schwab, and does not lock: its caller holds the token store's lock.
"""

import structlog

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import TokenFileError

log = structlog.get_logger(__name__)


class TokenKeeper:
    """Keeps one login for one process; ``unsaved`` is why the file does not have the newest one, None when it does."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._on_disk: TokenSet | None = None
        self._in_memory: TokenSet | None = None
        self.unsaved: TokenFileError | None = None

    def load(self) -> TokenSet | None:
        """Return the newest login, written now when it could not be before; None when there is none.

        When somebody else has changed the file meanwhile, by a login, a refresh or a logout, the file is right.
        """
        stored = self._store.load()
        if self._in_memory is not None and stored == self._on_disk:
            self.keep(self._in_memory)
            return self._in_memory or self._on_disk
        self._on_disk, self._in_memory, self.unsaved = stored, None, None
        return stored

    def keep(self, tokens: TokenSet) -> None:
        """Write a login to the file; when that fails it is kept in memory, which is logged once."""
        try:
            self._store.save(tokens)
        except TokenFileError as error:
            if self.unsaved is None:
                log.warning(
                    "the newest tokens are kept in memory until the token file can be written", reason=str(error)
                )
            self._in_memory, self.unsaved = tokens, error
            return
        if self.unsaved is not None:
            log.info("the token file is up to date again", path=str(self._store.path))
        self._on_disk, self._in_memory, self.unsaved = tokens, None, None
