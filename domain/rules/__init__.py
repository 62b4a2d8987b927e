"""What escalation events and routing rules ask of a message, and which of them match."""
