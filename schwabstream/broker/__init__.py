"""How to reach Redis, for writers and readers: arguments, URLs, clients, causes of errors."""
