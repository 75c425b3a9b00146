"""What the world is told without asking: signed webhooks and people's channels, from a durable outbox."""
