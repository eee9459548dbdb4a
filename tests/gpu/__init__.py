"""What only a GPU can show; --device=cpu tries the tests themselves out."""
