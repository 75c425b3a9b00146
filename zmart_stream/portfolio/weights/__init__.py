"""How the invested part of the book is shared among its holdings."""
