"""Single-file checkpoints (`.safetensors` in the names of A1111, ComfyUI and the models' own code) as pipeline folders.

For each weight that a network of diffusers has, `names_*` say where it lies in such a file. So every weight is looked
for by name, and what nobody asked for is what is left over. Configurations and CLIP's vocabulary, which a file does not
hold, are carried here; nothing is fetched.
"""
