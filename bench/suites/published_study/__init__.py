"""The study of Sagers et al. 2023 (arXiv 2308.12453), repeated on phantoms, whose truth is known."""
