"""What an engine should reach, by kind of device."""

#: A multiple of each peer's images per second. Plain diffusers has no bar on a GPU: a batch row of SD 1.5 is 0.803
#: TFLOP, so 50 guided steps at 780 TFLOP/s, about an H200's ceiling, are 9.7 images/s, and three times plain diffusers
#: may lie above it.
PEER_BARS = {"cpu": {"diffusers": 2.0, "optimum": 1.5}, "cuda": {"diffusers-compile": 1.3}}
#: Of the matmul ceiling, on a GPU.
SHARE_BAR = 0.65
