"""One script for each audit tool: `audit(table)` says what the tool says. Each runs in an environment of its own."""
