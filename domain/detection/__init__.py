"""Reading a customer's message: does it ask for a person, and was it written by a machine."""
