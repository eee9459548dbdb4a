"""The commands, a module each: flags, and a `main` that takes them."""
