"""What an event, a customer and a change cost, and whether that grows with the shop."""
