"""Networks of torchvision and timm: which there are, how they are built, and their trained weights."""
