"""Reports along guidelines: checklists as data, facts out of the artefacts, and what the author must write."""
