"""How to reach Redis, for writers and readers: URLs, clients, causes of errors."""
