"""How unlike the perceptual hashes of two pictures that count as one may be. Imports nothing: commands show it."""

#: How many of 256 bits may differ between near duplicates: recompression and resizing change about 10, other images
#: 128. On DermaMNIST 41 of the 43 pairs across its split with at most 40 bits show one lesion, looked at one by one.
NEAR = 40
