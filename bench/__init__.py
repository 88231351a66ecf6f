"""How fast Shoal is on this machine: one file per question, each prints a table or JSON."""
