"""The checker: a stream in, a report of the rules of its protocol that it breaks out; it is an observer of the wire."""
