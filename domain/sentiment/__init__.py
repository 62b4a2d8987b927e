"""How a customer feels, by the words of a message."""
