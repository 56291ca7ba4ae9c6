"""Around every request: who may send it, what it may hold, how it is answered and told of."""
